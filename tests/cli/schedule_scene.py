"""An app with schedules, for the CLI's tests."""

from datetime import timedelta

from perdure import App, Run

app = App("memory://")  # every test names its own store with `--store`


@app.schedule("0 0 1 1 *", timezone="Europe/Rome", input="it", overlap="buffer", labels={"team": "a"})
@app.schedule(every=timedelta(days=300), name="rare", input="de", jitter=timedelta(hours=1))
@app.agent("yearly")
async def yearly(run: Run, country: str) -> str:
    return f"{country} {run.scheduled_at}"
