"""What somebody is shown is written down once for each time that they asked."""

from __future__ import annotations

import pydantic_core
import pytest

from perdure import App
from tests.api.desk import asked, desk, ended, until


@pytest.mark.parametrize("what", ["entries", "result", "stream", "question"])
async def test_one_look_is_recorded_as_one(what: str) -> None:
    app = desk()
    async with asked(app, worker=True) as client:
        # given a run that has ended, and one that asks, to which nobody has looked in this way yet
        await client.post("/runs", json={"agent": "order", "input": {"item": "tea"}, "run_id": "r"})
        await ended(client, "r")
        await client.post("/runs", json={"agent": "asks", "run_id": "q"})
        await until(client, "q", lambda row: row["status"] == "waiting")
        run = "q" if what == "question" else "r"
        before = await _times(app, run, what)

        # when it is asked for once
        path = {"stream": "/runs/r/events", "question": "/approvals"}.get(what, f"/runs/r/{what}")
        assert (await client.get(path)).status_code == 200

        # then that is one look
        assert await _times(app, run, what) == before + 1


async def _times(app: App, run: str, what: str) -> int:
    cells = await app.store.cells("view", tenant="default")
    seen = [pydantic_core.from_json(cell.data)["seen"] for _, cell in cells]
    return sum(
        times for some in seen for name, (_, _, times) in some.items() if name.split("\0")[:2] == [run, what]
    )
