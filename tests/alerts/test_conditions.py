"""What is an alert: how runs ended, what they wait for, questions, budgets, workers, a broken chain."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Budget, Refused, Run, StoreCorrupt
from perdure.core.alert_settings import ALERTS
from perdure.core.ids import RunRef
from perdure.engines.alerts import conditions
from perdure.engines.watching import Watching
from perdure.journal import Append, Change, RunStatus
from perdure.testing import ManualClock
from tests.faults.processes import until

from .scene import watched

ROOT = Path(__file__).resolve().parents[2]


async def test_how_runs_end(store_url: str) -> None:
    app = App(store_url, alerts={})

    @app.agent("clerk")
    async def clerk(run: Run, how: str) -> None:
        match how:
            case "escalated":
                await run.escalate("nobody knows the customer")
            case "partial":
                await run.partial(1, missing=["the rest"], why="no time")
            case "failed":
                raise ValueError("no")
            case _:
                return

    @app.agent("parent")
    async def parent(run: Run) -> str:
        try:
            await run.child(clerk, "failed")
        except Exception:
            return "went on without"
        return "done"

    async with watched(app) as scene:
        for how in ("escalated", "partial", "failed", "succeeded"):
            await (await app.start(clerk, how, run_id=how)).ending()
        await (await app.start(parent, tenant="acme")).ending()
        await scene.look()
        assert await scene.open() == [
            ("run_escalated", "clerk", 1),
            ("run_failed", "clerk", 1),
            ("run_partial", "clerk", 1),
        ]
        assert await scene.open("acme") == []  # the parent of the run that failed knows


async def test_what_runs_wait_for(store_url: str) -> None:
    app = App(store_url, alerts={"approval_after": "PT1M"})

    @app.tool(effect="write")
    async def pay() -> None:
        raise TimeoutError("no answer")

    @app.tool(needs_approval=True)
    async def order() -> None: ...

    @app.agent("payer")
    async def payer(run: Run) -> None:
        await run.call(pay)

    @app.agent("buyer")
    async def buyer(run: Run) -> None:
        await run.call(order)

    async with watched(app) as scene:
        await app.start(payer, run_id="p")
        await app.start(buyer, run_id="b")

        async def wait() -> bool:
            records = [await app.store.get(RunRef("default", name)) for name in ("p", "b")]
            return all(r is not None and r.status == "waiting" for r in records)

        await until(wait, "both wait")
        await scene.look()
        assert await scene.open() == [("run_in_doubt", "payer/in_doubt", 1)]
        now = app.store.now
        app.store.now = lambda: now() + 10 * 86_400_000_000  # type: ignore[method-assign]
        await scene.look()
        assert [a.runs for a in await app.alerts() if a.kind == "approval_overdue"] == [("b",)]
        app.store.now = now  # type: ignore[method-assign]
        await app.settle("p", "pay", happened=True, by="ann")
        await until(lambda: _ended(app, "p"), "it is settled")
        await scene.look()
        assert await scene.open() == []


async def _ended(app: App, run_id: str) -> bool:
    record = await app.store.get(RunRef("default", run_id))
    return record is not None and record.ended_at is not None


async def test_what_agents_would_remember_is_not_reviewed_for_long() -> None:
    app = App("memory://", alerts={}, memory={"review": "all"})

    @app.agent("keeps")
    async def keeps(run: Run) -> int:
        return await run.session("case").append("user", "hello")

    async with watched(app) as scene:
        await (await app.start(keeps, run_id="k")).result()
        await scene.look()
        assert await scene.open() == []
        now = app.store.now
        app.store.now = lambda: now() + 2 * 86_400_000_000  # type: ignore[method-assign]
        await scene.look()
        (alert,) = [a for a in await app.alerts() if a.kind == "memory_unreviewed"]
        assert (alert.runs, alert.subject) == (("k",), "1 write to memory not reviewed for long")
        await app.memory.reject("k/session_append", by="user:ann", why="no")
        await scene.look()
        assert [a for a in await app.alerts() if a.kind == "memory_unreviewed"] == []


async def test_a_budget_that_is_nearly_used_up() -> None:
    app = App(
        "memory://",
        alerts={"budget_at": [0.5, 1.0]},
        budget={"tenant": {"tool_calls": 4, "per": "day", "on_limit": "stop"}},
    )

    @app.tool(effect="read")
    async def look() -> None: ...

    @app.agent("clerk")
    async def clerk(run: Run, calls: int) -> None:
        for _ in range(calls):
            await run.call(look)

    async with watched(app) as scene:
        await (await app.start(clerk, 1)).result()
        await scene.look()
        assert await scene.open() == []
        await (await app.start(clerk, 2)).result()
        await scene.look()
        assert await scene.open() == [("budget_threshold", "tenant/tool_calls/0.5", 1)]
        await app.budgets.raise_("tenant", Budget(tool_calls=20), by="ann")
        await scene.look()
        assert await scene.open() == []


async def test_runs_that_no_worker_can_run_and_those_that_do_not_move(store_url: str) -> None:
    app = App(store_url, alerts={"stuck_after": "PT10M"})
    go = asyncio.Event()

    @app.tool(effect="read")
    async def hang() -> None:
        await go.wait()

    @app.agent("clerk")
    async def clerk(run: Run) -> None:
        await run.call(hang)

    other = App(store_url)

    @other.agent("stranger", version="7")
    async def stranger(run: Run) -> None: ...

    async with watched(app) as scene:
        await app.start(clerk, run_id="r")
        await other.start(stranger, run_id="s")
        await until(lambda: _at_work(app, "r"), "it is at work")
        await scene.look()
        assert await scene.open() == []
        now = app.store.now
        app.store.now = lambda: now() + 3_600_000_000  # type: ignore[method-assign]
        await scene.look()
        found = await app.alerts()
        app.store.now = now  # type: ignore[method-assign]
        assert sorted((a.kind, a.about) for a in found) == [
            ("no_worker", "stranger@7"),
            ("run_stuck", "clerk/still"),
        ]
        go.set()
    await other.close()


async def _at_work(app: App, run_id: str) -> bool:
    record = await app.store.get(RunRef("default", run_id))
    return record is not None and record.status == "running"


async def test_no_worker_is_alive_and_runs_are_in_their_middle() -> None:
    app = App("memory://", alerts={})

    @app.agent("clerk")
    async def clerk(run: Run) -> None:
        await run.receive("never")

    async with watched(app, work=False) as scene:
        await app.start(clerk, run_id="r")
        from perdure.journal import Serves, Session

        session = Session(id="w", lease=1)
        await app.store.register(session)
        (claim,) = await app.store.claim("w", [Serves("clerk", "1")], limit=1)
        await app.store.expire("w")
        await scene.look()
        assert [(a.kind, a.about) for a in await app.alerts()] == [("no_worker", "none")]
        # its journal turns out to be broken
        change = Change(status=RunStatus.WAITING, reasons=("corrupt", "entry 3 is missing"), guarded=False)
        await app.store.append(Append(claim.run.rid, claim.run.epoch, claim.run.head, (), 0, change))
        await scene.look()
        assert [(a.kind, a.runs) for a in await app.alerts()] == [("chain_broken", ("r",))]


async def test_the_audit_log_is_not_what_was_written() -> None:
    app = App("memory://", alerts={})
    async with watched(app, work=False) as scene:

        async def torn(grower: Any, *, limit: int = 512) -> Any:
            raise StoreCorrupt("the tree is not the one that its checkpoint names")

        async def moved() -> bool:
            return True

        app.store.integrate, app.store.moved = torn, moved  # type: ignore[method-assign]
        watching = Watching(
            app.store,
            app.watchers(),
            tenant="default",
            revocations=app.revocations,
            found=app.found,
            name="here",
            corrupt=app.raise_corrupt,
        )
        task = asyncio.create_task(watching.run())
        await until(app.alerts, "it is told")
        task.cancel()
        assert await scene.open() == [("chain_broken", "audit log", 1)]


async def test_a_worker_died_while_it_had_runs() -> None:
    clock = ManualClock()
    app = App("memory://", clock=clock, alerts={})

    @app.agent("clerk")
    async def clerk(run: Run) -> str:
        return "done"

    async with watched(app, work=False) as scene:
        await scene.watching.catch_up()
        await app.start(clerk, run_id="r")
        from perdure.journal import Serves, Session

        await app.store.register(Session(id="w", lease=1_000_000))
        await app.store.claim("w", [Serves("clerk", "1")], limit=1)
        clock.advance(timedelta(seconds=5).total_seconds())
        await app.store.recover()
        await _drive(app)
        await scene.look()
        assert await scene.open() == [("worker_lost", "workers", 1)]


async def _drive(app: App) -> None:
    worker = app.new_worker()
    task = asyncio.create_task(worker.run())
    await until(lambda: _ended(app, "r"), "another worker ends it")
    worker.stop()
    await task


async def test_what_a_watcher_finds(store_url: str) -> None:
    app = App(store_url, alerts={}, watchers={"denials": 2, "anomalies": "off"})

    @app.tool(requires="payments:write")
    async def pay() -> None: ...

    @app.agent("clerk")
    async def clerk(run: Run) -> None:
        for _ in range(3):
            with pytest.raises(Refused):
                await run.call(pay)

    async with watched(app) as scene:
        await (await app.start(clerk, run_id="r", by="user:ann")).result()
        await scene.look()
        await scene.look()
        assert await scene.open() == [("watcher_finding", "violations/denied/clerk", 1)]


async def test_one_process_looks_at_a_time() -> None:
    clock = ManualClock()
    app = App("memory://", clock=clock, alerts={})
    async with watched(app, work=False) as scene:
        from perdure.engines.alerts import Alerting

        other = Alerting(
            app.store,
            scene.alerts,
            scene.alerts._settings,
            app.treasury,
            tenant="default",
            name="there",
        )
        assert await scene.alerting.tick()
        assert not await other.tick()
        clock.advance(timedelta(seconds=30).total_seconds())
        assert await other.tick()
        assert not await scene.alerting.tick()


def test_each_alert_has_a_runbook_whose_commands_exist() -> None:
    import typer

    from perdure.cli.commands import hang
    from perdure.cli.root import root

    hang()
    command: Any = typer.main.get_command(root)
    pages = {p.name for p in (ROOT / "docs/runbooks").glob("*.md")}
    nav = (ROOT / "zensical.toml").read_text()
    for kind in ALERTS:
        page = f"{kind.replace('_', '-')}.md"
        assert page in pages, f"docs/runbooks/{page} is missing"
        assert f"runbooks/{page}" in nav
    for page in pages:
        text = (ROOT / "docs/runbooks" / page).read_text()
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith("perdure ")]
        assert lines, f"{page} says nothing that could be done"
        for line in lines:
            at = command
            for word in line.split()[1:]:
                below = getattr(at, "commands", {}).get(word)
                if below is None:
                    break
                at = below
            assert not hasattr(at, "commands"), f"{page}: `{line}` is no command"


def test_conditions_name_kinds_that_there_are() -> None:
    assert {kind for _, kind, _ in conditions._WAITING} <= set(ALERTS)
