"""What MCP servers send is read as far as it may be long; what they say to nobody is kept for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Retry, Run
from tests.context.test_mcp import in_doubt, over_http, reviewed
from tests.faults.processes import until

GUSHER = Path(__file__).with_name("gusher.py")


async def test_a_program_that_writes_without_end_loses_its_connection_and_the_worker_lives(
    capfd: pytest.CaptureFixture[str],
) -> None:
    app = App(
        "memory://",
        mcp={
            "desk": {
                "command": sys.executable,
                "args": [str(GUSHER)],
                "trusted": True,
                "most_message": 100_000,
            }
        },
        retry=Retry.NEVER,
    )

    @app.agent("desk")
    async def desk(run: Run, letters: int) -> str:
        tools = await app.mcp.tools(run, "desk")
        try:
            answer = await run.call(tools["say"], letters=letters)
        except ConnectionError as error:
            return str(error)
        return str(len(answer.text))

    async with app:
        await reviewed(app)
        assert await (await app.start(desk, 30_000)).result() == "30000"
        said = await (await app.start(desk, 300_000)).result()
        assert "longer than 100,000 bytes (`most_message`)" in said
        assert await (await app.start(desk, 20_000)).result() == "20000"  # by another process
    assert "muttering" in capfd.readouterr().err


@pytest.mark.parametrize("what", ["long", "zipped"])
async def test_an_answer_over_http_that_is_too_long_is_not_read(what: str) -> None:
    async with over_http() as (url, proxy, added):
        app = App("memory://", mcp={"desk": {"url": url, "most_message": 20_000}})

        @app.agent("desk")
        async def desk(run: Run) -> Any:
            return (await run.call((await app.mcp.tools(run, "desk"))["add"], a=2, b=3)).structured

        async with app:
            await reviewed(app)
            proxy.swells = what
            run = await app.start(desk)
            await until(lambda: in_doubt(run), "a human is asked")
            assert added == [5]
            proxy.swells = ""
            assert await (await app.start(desk)).result() == {"result": 5}
