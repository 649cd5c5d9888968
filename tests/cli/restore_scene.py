"""An agent that writes letters. Loaded by `perdure --app tests/cli/restore_scene.py:app`."""

from datetime import timedelta
from pathlib import Path

from perdure import App, Run

app = App("memory://")  # every test names its own store with `--store`


@app.tool(effect="write")
def send(text: str) -> str:
    with Path("letters").open("a", encoding="utf-8") as letters:
        letters.write(f"{text}\n")
    return "sent"


@app.agent("writer")
async def writer(run: Run, name: str) -> None:
    await run.call(send, f"{name}: first")
    await run.ask("And the second?")
    await run.call(send, f"{name}: second")


app.schedule(writer, every=timedelta(hours=1), name="hourly", input="clock")
