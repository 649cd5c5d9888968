"""An embedded process leaves although a step blocks one of its threads."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys, time
from dataclasses import replace
from datetime import timedelta
from perdure import App, Run

app = App(sys.argv[1])
app.options = replace(app.options, grace=timedelta(seconds=0.2))
begun = asyncio.Event()


def block(loop):
    loop.call_soon_threadsafe(begun.set)
    time.sleep(3600)


@app.agent("blocked")
async def blocked(run: Run) -> None:
    loop = asyncio.get_running_loop()
    await run.step("block", lambda: block(loop))


async def main():
    async with app:
        await app.start(blocked, run_id="r")
        await begun.wait()
    print("closed", flush=True)


asyncio.run(main())
print("left", flush=True)
"""


def test_a_blocked_step_does_not_keep_its_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["closed", "left"]), done.stderr
    assert "1 step still runs in a thread, and is abandoned" in done.stderr
    assert "Traceback" not in done.stderr
