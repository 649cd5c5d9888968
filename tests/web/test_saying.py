"""The run page while a model speaks: what it says so far, to whoever may see it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from perdure import App, ModelReply, ModelRequest, Run
from perdure.access.callers import Role
from perdure.runtime.boundary.saying import LISTENING
from perdure.views.hearing import Hearing
from perdure.web.live import Pulse, stream
from tests.web.scene import reading, text_of


class Slow:
    """A provider of somebody's own, which can stream: says half, and the rest when it is told to go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        raise AssertionError("somebody listens: it is to be streamed")

    async def request_stream(
        self, model: str, request: ModelRequest, say: Callable[[str], None]
    ) -> ModelReply:
        say("the <b>lamp</b> ")
        await self.go.wait()
        say("is sold")
        return ModelReply(text="the <b>lamp</b> is sold")


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110  # it is in a store
            await asyncio.sleep(0.01)


async def test_the_run_page_shows_what_is_being_said_to_whoever_may_see_it() -> None:
    app, slow = App("memory://"), Slow()
    app.models.register("slow", slow)

    @app.agent("sells")
    async def sells(run: Run) -> str:
        await run.receive("go", str)
        return await run.model("slow:1", "sell it", name="talk")

    async def look() -> str:
        return "as it was"

    async with app, reading(app) as reader:
        # given an open page of a run whose model begins to speak
        handle = await app.start(sells, run_id="sells-1")
        answer = stream(Pulse(app.store), look, last="as it was", hears=(Hearing(app.store), handle.ref))
        events: Any = answer.body_iterator
        heard = asyncio.ensure_future(first(events, "said"))
        await until(lambda: app.store.cells(LISTENING))
        await handle.signal("go", "1")
        # when it is told that there is more
        async with asyncio.timeout(10):
            await heard
        # then it finds what was said, and that is on record
        part = await reader.get("/runs/sells-1/saying")
        assert "<b>" not in part
        assert "talk/turn is being said" in text_of(part)
        assert "the <b>lamp</b>" in text_of(part)
        assert [b"stream" in cell.data for _, cell in await app.store.cells("view")] == [True]
        # and whoever may not see payloads finds nothing, nor does another tenant
        reader.gate.roles = frozenset({Role.VIEWER})
        assert "lamp" not in await reader.get("/runs/sells-1/saying")
        assert "saying" not in await reader.get("/runs/sells-1")
        reader.gate.roles = frozenset({Role.ADMIN})
        assert "saying" in await reader.get("/runs/sells-1")
        reader.gate.tenant = "other"
        assert "lamp" not in await reader.get("/runs/sells-1/saying", status=404)
        reader.gate.tenant = "default"
        # and at the end it is only in the journal
        slow.go.set()
        assert await handle.result() == "the <b>lamp</b> is sold"
        assert "lamp" not in await reader.get("/runs/sells-1/saying")
        await events.aclose()


async def first(events: Any, name: str) -> None:
    async for event in events:
        if event.startswith(f"event: {name}\n"):
            return
