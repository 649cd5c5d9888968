"""Models that answer from a list, and workers that die, for tests of `run.model`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pydantic_core
from pydantic_core import to_jsonable_python

from perdure import App, Handle, Run, RunFailed
from perdure.core.ids import DEFAULT_TENANT, RunRef
from perdure.journal import Entry, Kind
from perdure.runtime.conversation.messages import AssistantMessage, ModelReply, ModelRequest, ToolCall
from perdure.testing import Boundary, KillingStore, MemoryStore


def says(text: str, **more: Any) -> ModelReply:
    return ModelReply(text=text, **more)


def asks(*calls: tuple[str, dict[str, Any] | str], text: str = "", **more: Any) -> ModelReply:
    made = tuple(ToolCall(id=f"c{i}", name=name, arguments=args) for i, (name, args) in enumerate(calls))
    return ModelReply(text=text, tool_calls=made, **more)


class Answers:
    """The nth turn of a conversation gets the nth reply, whoever asks: as a model would that thinks the same."""

    def __init__(
        self, *replies: ModelReply, then: Callable[[ModelRequest], ModelReply] | None = None
    ) -> None:
        self.replies = replies
        self.then = then
        self.requests: list[ModelRequest] = []
        self.models: list[str] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        self.models.append(model)
        turn = sum(isinstance(m, AssistantMessage) for m in request.messages)
        if turn < len(self.replies):
            return self.replies[turn]
        assert self.then is not None, f"turn {turn + 1} was not expected: {request.messages[-1]}"
        return self.then(request)

    def told(self) -> list[str]:
        """What the model was told in the last request, after its last answer."""
        messages = self.requests[-1].messages
        last = max(i for i, m in enumerate(messages) if isinstance(m, AssistantMessage))
        return [m.text for m in messages[last + 1 :]]


async def killed_after(
    entries: int, make: Callable[[Any], App], store: MemoryStore, agent: str, *, run_id: str = "r"
) -> None:
    """Let a worker write so many entries of a run, the claim included, and kill it; the run is free again."""
    if await store.get(RunRef(DEFAULT_TENANT, run_id)) is None:
        await make(store).start(agent, run_id=run_id)
    killing = KillingStore(store, Boundary("before", nth=entries + 1))
    worker = make(killing).new_worker()
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await killing.killed.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for session in killing.registered:
        await store.expire(session)
    await store.recover()


def app_with(provider: Any, store: Any = "memory://", **options: Any) -> App:
    app = App(store, **options)
    app.models.register("fake", provider)
    return app


async def ask(provider: Answers, /, *, output: Any = str, tools: Any = (), **options: Any) -> Any:
    """The result of an agent that only asks `provider`. Raises the cause of a failure."""
    app = app_with(provider)

    @app.agent("asker")
    async def asker(run: Run) -> Any:
        answer = await run.model("fake:m", "go", output=output, tools=tools, **options)
        return to_jsonable_python(answer)

    async with app:
        handle = await app.start(asker)
        try:
            return await handle.result()
        except RunFailed as failed:
            assert failed.__cause__ is not None
            raise failed.__cause__ from None


def of_kind(entries: list[Entry], kind: Kind) -> list[Entry]:
    return [e for e in entries if e.kind == kind]


def payload(entry: Entry) -> Any:
    return pydantic_core.from_json(entry.payload)


async def turns(handle: Handle) -> list[Entry]:
    """Their ends, without what they cost."""
    entries = await handle.entries()
    return [e for e in entries if e.key.rpartition("/")[2].startswith("turn") and e.kind != Kind.CHARGED]
