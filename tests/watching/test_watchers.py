"""Watchers at work: what they are handed, what follows, who goes on where one dies, what they cannot do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perdure import App, ConfigError, Fact, OutsideRun, Refused, Run, Watch
from perdure.core.ids import RunRef
from perdure.engines.watching import CURSOR, Watching
from perdure.governance import Who
from tests.faults.processes import until


@asynccontextmanager
async def looked_at(app: App) -> AsyncGenerator[Watching]:
    """The app at work, and its watchers, to be asked to look."""
    watching = Watching(
        app.store,
        app.watchers(),
        tenant=app.tenant,
        revocations=app.revocations,
        found=app.found,
        name="here",
    )
    app.watching = lambda: []  # type: ignore[method-assign]  # no second one in the worker
    async with app:
        await watching.catch_up()
        yield watching


def desk_of(app: App) -> Any:
    @app.tool(effect="write")
    async def send(letter: str) -> str:
        return letter

    @app.agent("desk")
    async def desk(run: Run, letters: list[str]) -> int:
        for letter in letters:
            await run.call(send, letter)
        return len(letters)

    return desk


async def test_a_watcher_sees_each_fact_once_and_keeps_what_it_learns(store_url: str) -> None:
    app = App(store_url)
    desk = desk_of(app)
    seen: list[str] = []

    @app.watcher("clerk")
    async def clerk(watch: Watch, fact: Fact) -> None:
        if fact.what == "tool.called":
            seen.append(fact.contents["arguments"]["letter"])
            kept = watch.state(fact.agent)
            kept["calls"] = kept.get("calls", 0) + 1

    async with looked_at(app) as watching:
        await (await app.start(desk, ["a", "b"])).result()
        await watching.catch_up()
        await watching.catch_up()
        assert seen == ["a", "b"]
        # another process: nothing, while the lease of this one lasts
        other = Watching(
            app.store,
            app.watchers(),
            tenant="default",
            revocations=app.revocations,
            found=app.found,
            name="there",
        )
        await (await app.start(desk, ["c"])).result()
        await other.catch_up()
        assert seen == ["a", "b"]
        ((key, cell),) = await app.store.cells(CURSOR)
        from perdure.journal import Amendment

        await app.store.amend(Amendment([key], lambda there, now: ({key: cell._replace(due=now)}, None)))
        await other.catch_up()
        assert seen == ["a", "b", "c"]
        ((_, kept),) = await app.store.cells("watcher_state")
        assert kept.data == b'{"calls":3}'
        # the first one hears that it is not its turn any more, and what it would write is not written
        await (await app.start(desk, ["d"])).result()
        await watching.catch_up()
        ((_, kept),) = await app.store.cells("watcher_state")
        assert kept.data == b'{"calls":3}'


async def test_what_follows_is_configured() -> None:
    app = App("memory://", trust={"ring": "act_and_verify"})
    agents: dict[str, Any] = {}

    @app.tool(effect="write", check=lambda result: True)
    async def send(letter: str) -> str:
        return letter

    for on_finding in ("alarm", "narrow", "suspend"):

        @app.watcher(on_finding, on_finding=on_finding)  # type: ignore[arg-type]
        async def look(watch: Watch, fact: Fact) -> None:
            if fact.what == "tool.called" and fact.agent == watch.name:
                await watch.report("letter", f"it sends `{watch.name}`")

        @app.agent(on_finding)
        async def agent(run: Run) -> None:
            await run.call(send, "dear sir")

        agents[on_finding] = agent

    async with looked_at(app) as watching:
        for what, narrowed in (
            ("alarm", []),
            ("narrow", ["watcher:narrow"]),
            ("suspend", ["watcher:suspend"]),
        ):
            await (await app.start(agents[what], run_id=what)).result()  # over: nothing of it can be held
            await watching.catch_up()
            await watching.catch_up()
            records = (await app.trust.ring(what, "*")).records
            assert [j.record.by for j in records] == narrowed
        (held,) = await app.stopped()
        assert (held.who, held.by, held.reason) == (
            Who("run", "suspend"),
            "watcher:suspend",
            "it sends `suspend`",
        )


async def test_a_run_is_stopped_in_its_middle(store_url: str) -> None:
    app = App(store_url)
    go = asyncio.Event()
    sent: list[int] = []

    @app.tool(effect="write")
    async def send(n: int) -> None:
        sent.append(n)

    @app.tool(effect="read")
    async def wait() -> None:
        await go.wait()

    @app.agent("desk")
    async def desk(run: Run) -> None:
        await run.call(send, 1)
        await run.call(wait)
        await run.call(send, 2)

    @app.watcher("clerk")
    async def clerk(watch: Watch, fact: Fact) -> None:
        if fact.what == "tool.answered":
            record = await watch.run()
            assert record is not None and record.status == "running"
            assert [f.what for f in await watch.facts(until=3)] == ["run.started", "run.claimed"]
            assert await watch.suspend(agent="desk", reason="once is enough")

    async with looked_at(app) as watching:
        await app.start(desk, run_id="r")
        await until(lambda: sent, "it has sent one")

        async def stopped() -> bool:
            await watching.catch_up()
            return bool(await app.stopped())

        await until(stopped, "the watcher stops it")
        go.set()

        async def held() -> bool:
            record = await app.store.get(RunRef("default", "r"))
            return record is not None and record.reasons == ("stopped",)

        await until(held, "it is held")
        assert sent == [1]


async def test_a_watcher_can_read_and_suspend_and_nothing_else() -> None:
    app = App("memory://")
    desk = desk_of(app)
    tried: dict[str, str] = {}

    @app.watcher("spy")
    async def spy(watch: Watch, fact: Fact) -> None:
        if fact.what != "run.ended" or fact.ref.tenant != "default":
            return
        tried["can"] = " ".join(n for n in dir(watch) if not n.startswith("_"))
        # what is of another tenant is not there
        assert await watch.run("theirs") is None
        assert list(await watch.facts("theirs")) == []
        await watch.suspend(run="theirs", reason="not mine")
        tried["stopped"] = "default"
        for name in ("store", "app", "post", "call", "model", "rights", "_Watch__app"):
            assert not hasattr(watch, name)
        with pytest.raises(AttributeError):
            watch.anything = 1  # type: ignore[attr-defined]
        with pytest.raises(ConfigError):
            await watch.suspend(reason="everybody")
        with pytest.raises(ConfigError):
            await watch.suspend(run="a", agent="b", reason="both")
        # it is in no run: nothing that needs one goes through
        from perdure import credential

        with pytest.raises((OutsideRun, Refused, RuntimeError)) as refused:
            credential("github")
        tried["credential"] = type(refused.value).__name__

    async with looked_at(app) as watching:
        await (await app.start(desk, [], run_id="theirs", tenant="acme")).result()
        await (await app.start(desk, [], run_id="ours")).result()
        await watching.catch_up()
        assert tried["can"] == "fact facts name report run state suspend"
        assert [(r.tenant, r.who.name) for r in await app.stopped()] == [("default", "theirs")]
        assert await app.stopped(tenant="acme") == []
    names = set(inspect.signature(Watch.suspend).parameters)
    assert names == {"self", "run", "agent", "reason"}  # no tenant, and not everything


async def test_a_watcher_that_fails_or_hangs_does_not_hold_up_what_comes_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.engines.watching.PATIENCE_SECONDS", 0.01)
    app = App("memory://")
    desk = desk_of(app)
    seen: list[str] = []

    @app.watcher("clumsy")
    async def clumsy(watch: Watch, fact: Fact) -> None:
        if fact.what == "run.started":
            raise ValueError("no")
        if fact.what == "run.claimed":
            await asyncio.Event().wait()
        seen.append(fact.what)

    async with looked_at(app) as watching:
        await (await app.start(desk, [])).result()
        await watching.catch_up()
    assert seen == ["run.ended"]


def test_what_cannot_be_registered() -> None:
    app = App("memory://")

    async def look(watch: Watch, fact: Fact) -> None: ...

    for wrong in ("", "violations", "a/b"):
        with pytest.raises(ConfigError):
            app.watcher(wrong)(look)
    with pytest.raises(ConfigError):
        app.watcher("x", on_finding="shout")  # type: ignore[arg-type]
    app.watcher("x")(look)
    with pytest.raises(ConfigError, match="already"):
        app.watcher("x")(look)
