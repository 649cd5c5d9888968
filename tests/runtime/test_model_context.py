"""Conversations that are too long: made shorter, then given to a larger model; what was dropped is said and kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from perdure import App, ConfigError, FailureClass, Handle, Retry, Run, RunFailed
from perdure.journal import Kind
from perdure.runtime.conversation.compaction import SHORT, compacted, tokens_of
from perdure.runtime.conversation.messages import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from perdure.testing import MemoryStore, SkippingClock, survives
from tests.runtime.conversations import of_kind, payload, says, turns

LONG = "x" * 2000


class TooLong(Exception):
    """What a provider raises where the conversation does not fit."""


def long(error: BaseException) -> FailureClass | None:
    return FailureClass.CONTEXT_EXCEEDED if isinstance(error, TooLong) else None


class Reader:
    """Reads `pages` pages, then answers. Each of its models holds so many characters."""

    def __init__(self, pages: int, **holds: int) -> None:
        self.pages = pages
        self.holds = holds
        self.requests: list[ModelRequest] = []
        self.sizes: list[int] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        size = sum(len(m.text) for m in request.messages)
        if size > self.holds[model.partition(":")[2]]:
            raise TooLong(f"{size} characters are too many")
        self.requests.append(request)
        self.sizes.append(size)
        if request.messages[0].text.startswith("You are given the earlier part"):
            return says(f"sums up {size} characters")
        page = int(next((m.id for m in reversed(request.messages) if isinstance(m, ToolMessage)), "0")) + 1
        if page > self.pages:
            return says(f"read {self.pages} pages")
        call = ToolCall(id=str(page), name="read", arguments={"page": page})
        return ModelReply(tool_calls=(call,), text=f"now page {page}")


def read(page: int) -> str:
    """Read a page."""
    return f"page {page}: " + LONG


@pytest.fixture
async def app() -> AsyncIterator[App]:
    made = App("memory://", clock=SkippingClock(), retry=Retry.NEVER)
    made.classify(long)
    made.tool(effect="read")(read)
    async with made:
        yield made


async def talk(app: App, reader: Any, models: Any = "fake:m", /, **options: Any) -> Handle:
    app.models.register("fake", reader)

    @app.agent("reader")
    async def reading(run: Run) -> str:
        return await run.model(
            models, "read them all", system="be thorough", tools=[app.tools["read"]], max_turns=50, **options
        )

    return await app.start(reading)


async def compactions(run: Handle) -> list[dict[str, Any]]:
    return [payload(e) for e in of_kind(await run.entries(), Kind.COMPACTED)]


# when it does not fit --------------------------------------------------------------------------------------------


async def test_old_results_go_first_and_the_model_is_told(app: App) -> None:
    reader = Reader(4, m=7000)
    run = await talk(app, reader)
    assert await run.result() == "read 4 pages"

    (told,) = await compactions(run)
    assert "too many" in told["why"]
    assert [(r["tool"], r["characters"]) for r in told["replaced"]] == [("read", 2008)] * 3
    assert told["dropped"] is None
    assert told["after"] < told["before"] / 2
    last = reader.requests[-1].messages
    assert [m.text for m in last[:2]] == ["be thorough", "read them all"]
    results = [m.text for m in last if isinstance(m, ToolMessage)]
    assert (
        results[:3]
        == [
            "(This result of `read` was dropped, because the conversation had become too long: 2,008 characters. "
            "Call the tool again if you need it.)"
        ]
        * 3
    )
    assert results[3] == read(4)
    # the journal keeps what the model does not see any more
    kept = [payload(e) for e in await run.entries() if e.kind == Kind.RESULT and e.key.endswith("/read")]
    assert kept == [read(n) for n in range(1, 5)]
    failed = [e for e in await turns(run) if e.kind == Kind.FAILED]
    assert [payload(e)["diagnosis"]["failure"] for e in failed] == ["context_exceeded"]


async def test_then_old_turns_go_the_older_half_first(app: App) -> None:
    reader = Reader(16, m=3500)
    run = await talk(app, reader)
    assert await run.result() == "read 16 pages"
    dropped = [c["dropped"] for c in await compactions(run) if c["dropped"]]
    assert dropped
    assert dropped[0]["first"] == 2  # never the system prompt or the task
    assert dropped[0]["tools"] == {"read": dropped[0]["turns"]}
    last = reader.requests[-1].messages
    assert [m.text for m in last[:2]] == ["be thorough", "read them all"]
    assert "earlier turns of this conversation went here" in last[2].text
    # what stands in for turns stays, and says of each of them once that it is gone
    assert sum("went here" in m.text for m in last) == len(dropped)
    assert sum(d["turns"] for d in dropped) + sum(isinstance(m, AssistantMessage) for m in last) == 16
    assert "You called `read`" in last[2].text
    assert last[-1].text == read(16)  # nor the last turn
    assert isinstance(last[-2], AssistantMessage)


async def test_a_model_sums_up_the_turns_that_go(app: App) -> None:
    reader = Reader(12, m=3200, small=10**6)
    run = await talk(app, reader, summary="fake:small")
    assert await run.result() == "read 12 pages"
    dropped = [c["dropped"] for c in await compactions(run) if c["dropped"]]
    assert all(d["summary"] for d in dropped)
    assert "What they came to, summed up:\nsums up" in dropped[0]["text"]
    summaries = [e for e in await run.entries() if "/summary" in e.key and e.kind == Kind.RESULT]
    assert len(summaries) == len(dropped)
    asked = next(r for r in reader.requests if r.messages[0].text.startswith("You are given"))
    assert '[calls read {"page":1}]' in asked.messages[1].text


async def test_a_summary_that_cannot_be_had_is_done_without(app: App) -> None:
    reader = Reader(12, m=3200, small=10)
    run = await talk(app, reader, summary="fake:small")
    assert await run.result() == "read 12 pages"
    assert not any(c["dropped"]["summary"] for c in await compactions(run) if c["dropped"])


async def test_a_larger_model_is_asked_when_nothing_is_left_to_drop(app: App) -> None:
    reader = Reader(3, m=1500, l=10**6, f=10**6)
    run = await talk(app, reader, ["fake:m", "fake:f"], larger="fake:l")
    assert await run.result() == "read 3 pages"
    by = [payload(e)["by"] for e in await turns(run) if e.kind == Kind.RESULT]
    assert by == ["fake:m", "fake:l", "fake:l", "fake:l"]  # and the conversation stays with it


async def test_without_larger_models_the_fallbacks_are_tried(app: App) -> None:
    reader = Reader(2, m=1500, f=1500, g=10**6)
    run = await talk(app, reader, ["fake:m", "fake:f", "fake:g"])
    assert await run.result() == "read 2 pages"
    assert {payload(e)["by"] for e in (await turns(run))[-1:]} == {"fake:g"}


async def test_what_fits_nowhere_says_so(app: App) -> None:
    reader = Reader(3, m=1500, l=1600)
    run = await talk(app, reader, larger=["fake:l"])
    with pytest.raises(
        RunFailed, match=r"ContextExceeded: .*nothing is left in it that could be dropped.*2\d+ char"
    ):
        await run.result()


# before it does not fit ------------------------------------------------------------------------------------------


async def test_a_conversation_is_kept_below_what_it_may_have(app: App) -> None:
    reader = Reader(20, m=10**6)
    run = await talk(app, reader, max_context=3000)
    assert await run.result() == "read 20 pages"
    found = await compactions(run)
    assert found
    assert "may have 3,000" in found[0]["why"]
    assert not [e for e in await turns(run) if e.kind == Kind.FAILED]
    assert max(tokens_of(r.messages) for r in reader.requests) <= 3000
    assert len(found) < 15  # each makes room for more than one turn


@pytest.mark.parametrize("most", [0, -5])
async def test_a_bound_that_is_none_is_refused(app: App, most: int) -> None:
    run = await talk(app, Reader(1, m=10**6), max_context=most)
    with pytest.raises(RunFailed) as failed:
        await run.result()
    assert isinstance(failed.value.__cause__, ConfigError)


# crashes and replay ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"max_context": 2600}, {"summary": "fake:s"}, {"larger": "fake:l"}],
    ids=lambda o: next(iter(o), "plain"),
)
async def test_it_survives_a_kill_at_every_boundary(options: dict[str, Any]) -> None:
    app = App("memory://", retry=Retry.NEVER)
    app.classify(long)
    holds = 1500 if "larger" in options else 3300
    reader = Reader(6, m=holds, s=10**6, l=10**6)
    app.models.register("fake", reader)
    tool = app.tool(effect="read")(read)

    @app.agent("reader")
    async def reading(run: Run) -> str:
        return await run.model("fake:m", "read", tools=[tool], **options)

    trials = await survives(app, reading)
    assert trials[0].result == "read 6 pages"
    whole = said(trials[0].entries)
    for trial in trials:
        assert said(trial.entries) == whole, trial.boundary
    assert any(e.kind == Kind.COMPACTED for e in trials[0].entries) or "larger" in options


def said(entries: Sequence[Any]) -> list[Any]:
    """What the conversation is: the recorded turns and what was left out."""
    return [
        (e.key, Kind(e.kind), payload(e)["messages"] if e.kind == Kind.RESULT else payload(e))
        for e in entries
        if e.kind == Kind.COMPACTED or (e.kind == Kind.RESULT and "/turn" in e.key and e.key.count("/") == 1)
    ]


async def test_a_replay_leaves_out_what_was_recorded_whatever_the_code_says_now() -> None:
    store = MemoryStore()

    def made(options: dict[str, Any], reader: Reader) -> App:
        app = App(store, clock=SkippingClock(), retry=Retry.NEVER)
        app.classify(long)
        app.models.register("fake", reader)
        tool = app.tool(effect="read")(read)

        @app.agent("reader")
        async def reading(run: Run) -> str:
            await run.model("fake:m", "read", tools=[tool], name="first", **options)
            await run.receive("go on")
            return "done"

        return app

    reader = Reader(5, m=10**6)
    async with made({"max_context": 2000}, reader) as app:
        run = await app.start("reader")
        async with asyncio.timeout(10):
            while not of_kind(await run.entries(), Kind.SUSPENDED):
                await store.changed(store.changes(), within=0.1)
    assert await compactions(run)
    silent = Reader(5, m=0)
    async with made({}, silent) as again:
        await again.signal(run.id, "go on")
        assert await (await again.handle(run.id)).result() == "done"
    assert silent.requests == []


async def test_a_fork_takes_over_what_was_left_out(app: App) -> None:
    reader = Reader(6, m=10**6)
    run = await talk(app, reader, max_context=2000)
    assert await run.result() == "read 6 pages"
    before = list(reader.requests)
    forked = await app.fork(run.id, from_step="model/turn:6")
    assert await forked.result() == "read 6 pages"
    assert [r.messages for r in reader.requests[len(before) :]] == [r.messages for r in before[5:]]


# pure ------------------------------------------------------------------------------------------------------------


def conversation(*sizes: int) -> list[Message]:
    """The system prompt, the task, turns with results of these sizes, and a last answer."""
    found: list[Message] = [SystemMessage(text="sys"), UserMessage(text="task")]
    for n, size in enumerate(sizes):
        call = ToolCall(id=str(n), name="read", arguments={"n": n})
        found += [AssistantMessage(tool_calls=(call,)), ToolMessage(id=str(n), name="read", text="y" * size)]
    return [*found, AssistantMessage(tool_calls=(ToolCall(id="last", name="read", arguments={}),))]


def test_nothing_is_dropped_where_nothing_can_be() -> None:
    assert compacted(conversation(), opening=2, why="") is None


def test_short_results_stay() -> None:
    found = compacted(conversation(SHORT, SHORT + 1), opening=2, why="")
    assert found is not None
    assert [r.at for r in found.replaced] == [5]


@pytest.mark.parametrize("room", [2500, 1500, 700, 300, 120])
def test_the_oldest_goes_first_and_no_more_than_is_needed(room: int) -> None:
    said = conversation(*[1000] * 10)
    found = compacted(said, opening=2, why="", room=room)
    assert found is not None
    left = found.apply(said)
    assert tokens_of(left) == found.after <= max(room, 140)
    assert left[:2] == said[:2]
    assert left[-1] == said[-1]
    at = [r.at for r in found.replaced]
    assert at == sorted(at)
    assert _paired(left)


def _paired(messages: Sequence[Message]) -> bool:
    """Each result stands behind the call that it belongs to."""
    asked: set[str] = set()
    for message in messages:
        if isinstance(message, AssistantMessage):
            asked |= {call.id for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.id not in asked:
            return False
    return True


def test_a_compaction_comes_back_from_the_journal_as_it_was() -> None:
    said = conversation(*[1000] * 6)
    for room in (None, 1200, 200):
        found = compacted(said, opening=2, why="because", room=room)
        assert found is not None
        again = type(found).model_validate_json(found.model_dump_json())
        assert again == found
        assert again.apply(said) == found.apply(said)


def test_what_would_not_make_it_shorter_is_no_compaction() -> None:
    said = [
        UserMessage(text="a task"),
        AssistantMessage(text="hm"),
        UserMessage(text="go on"),
        AssistantMessage(text="well"),
    ]
    assert compacted(said, opening=1, why="too long") is None
    long = [*said[:1], AssistantMessage(text="hm " * 500), *said[2:]]
    found = compacted(long, opening=1, why="too long")
    assert found is not None
    assert found.after < found.before
