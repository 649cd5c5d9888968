"""`run_sync` in a script says how to answer what its run asks."""

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run


def test_run_sync_says_how_to_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    app = App(url)

    @app.agent("asks")
    async def asks(run: Run) -> str:
        first = await run.ask("Send it?\nNow?")
        second = await run.ask("Really?", name="sure")
        return f"{bool(first)} {bool(second)}"

    def answer() -> None:
        """Somebody who does as the log says."""
        for text in ("`perdure approvals approve r ask`", "`perdure approvals approve r sure`"):
            until = time.monotonic() + 60
            while text not in caplog.text and time.monotonic() < until:
                time.sleep(0.01)
            step = text.split()[-1].strip("`")
            other = App(url)

            async def approve(other: App = other, step: str = step) -> Any:
                await other.answer("r", step, approved=True, by="ada")
                await other.close()

            asyncio.run(approve())

    person = threading.Thread(target=answer)
    person.start()
    with caplog.at_level(logging.WARNING):
        assert app.run_sync("asks", run_id="r") == "True True"
    person.join()

    said = [r.getMessage() for r in caplog.records if r.name == "perdure.run"]
    assert said == [
        r"run r asks: 'Send it?\nNow?'; answer with `perdure approvals approve r ask` or `deny`, on this store",
        "run r asks: 'Really?'; answer with `perdure approvals approve r sure` or `deny`, on this store",
    ]
