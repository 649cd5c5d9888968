"""The list of runs: how many there are of each state."""

from __future__ import annotations

import re
from pathlib import Path

from perdure import App, Run, RunFailed
from perdure.journal import RunStatus
from perdure.web.runs.filters import TABS

from .scene import reading, text_of


def test_every_state_is_in_one_tab() -> None:
    """For the tab of all shows the sum of the others."""
    assert sorted(status for tab in TABS for status in tab.statuses) == sorted(RunStatus)


async def test_each_tab_says_how_many_of_what_is_asked_for(tmp_path: Path) -> None:
    app = App(f"sqlite:///{tmp_path}/store.db")

    @app.agent("works")
    async def works(run: Run, fails: bool) -> None:
        if fails:
            raise ValueError("no")

    async with app:
        for n, fails in enumerate((False, True, True, False, False)):
            handle = await app.start(works, fails, labels={"team": "red" if n < 2 else "blue"})
            try:
                await handle.result()
            except RunFailed:
                assert fails
        async with reading(app) as reader:
            assert _tabs(await reader.get("/runs")) == {"All": 5, "Succeeded": 3, "Failed": 2}
            red = await reader.get("/runs?label=team%3Dred")
            assert _tabs(red) == {"All": 2, "Succeeded": 1, "Failed": 1}
            of_one = await reader.get("/runs?label=team%3Dred&status=failed")
            assert _tabs(of_one) == {"All": 2, "Succeeded": 1, "Failed": 1}


def _tabs(page: str) -> dict[str, int]:
    """Those that hold something."""
    shown = re.search(r'<nav class="chips tabs".*?</nav>', page, flags=re.S)
    assert shown is not None
    found = re.findall(
        r"(All|Running|Queued|Waiting|Succeeded|Failed|Cancelled|look) (\d+)", text_of(shown[0])
    )
    return {name: int(number) for name, number in found if number != "0"}
