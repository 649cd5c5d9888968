"""The tools that users test their agents with are tested on agents that survive, and on agents that must not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import perdure.testing
from perdure import DID_NOT_HAPPEN, App, ConfigError, Handle, Happened, ModelReply, ModelRequest, Run
from perdure.journal import Kind
from perdure.testing import Boundary, Trial, kill_at, survives, until_waiting


class Shop:
    """A shop's app, and what the world saw of it."""

    def __init__(self) -> None:
        self.app = app = App("memory://")
        self.paid: list[str] = []
        self.mailed: list[str] = []
        self.counted = 0

        def was_paid(order: str) -> object:
            return Happened(f"receipt {order}") if order in self.paid else DID_NOT_HAPPEN

        @app.tool(effect="write", verify=was_paid)
        async def pay(order: str) -> str:
            self.paid.append(order)
            return f"receipt {order}"

        @app.tool(effect="write")
        def mail(to: str) -> str:
            self.mailed.append(to)
            return f"mailed {to}"

        @app.tool(effect="read")
        async def price(of: str) -> int:
            return len(of)

        @app.agent("sell")
        async def sell(run: Run, order: str) -> dict[str, object]:
            prices = await run.gather(run.call(price, order), run.call(price, "post"))
            answer = await run.ask("sell?", show=prices)
            receipt = await run.call(pay, order)
            await run.sleep(timedelta(days=1))
            mails = [await run.call(mail, to) for to in ("ada", "bob")]
            return {"prices": prices, "by": answer.by, "receipt": receipt, "mails": mails}

        self.sell = sell


async def say_yes(app: App, run: Handle) -> None:
    await until_waiting(app, run, "approval")
    await app.answer(run.id, "ask", approved=True, by="ann")


def kinds(trial: Trial, step: str) -> list[str]:
    return [Kind(e.kind).name.lower() for e in trial.entries if e.key == step]


async def test_an_agent_survives_at_every_boundary() -> None:
    shop = Shop()

    trials = await survives(shop.app, shop.sell, "book", setup=shop.paid.clear, outside=say_yes)

    expected = {
        "prices": [4, 4], "by": "ann", "receipt": "receipt book", "mails": ["mailed ada", "mailed bob"],
    }  # fmt: skip
    assert all(trial.result == expected for trial in trials)
    assert len(trials) > 30
    assert all(trial.calls["pay"] == 1 and trial.calls["mail"] == 2 for trial in trials)
    assert {doubt for trial in trials for doubt in trial.doubts} == {"mail", "mail:2"}


async def test_a_kill_at_a_named_boundary() -> None:
    shop = Shop()

    after_intent = await kill_at(
        shop.app, shop.sell, "book", Boundary("after", "intent", "pay"), outside=say_yes
    )
    before_result = await kill_at(
        shop.app, shop.sell, "pen", Boundary("before", "result", "pay"), outside=say_yes
    )
    second = await kill_at(shop.app, shop.sell, "cup", Boundary("after", "result", "mail:2"), outside=say_yes)

    assert (after_intent.status, after_intent.calls["pay"]) == ("succeeded", 1)
    assert (before_result.status, before_result.calls["pay"]) == ("succeeded", 1)
    assert "unknown" in kinds(before_result, "pay")
    assert second.calls["mail"] == 2
    assert kinds(second, "mail:2") == ["intent", "result"]


async def test_a_boundary_that_is_never_reached_fails() -> None:
    shop = Shop()
    with pytest.raises(AssertionError, match="never came to after result of `fly`; its entries are: started"):
        await kill_at(shop.app, shop.sell, "book", Boundary("after", "result", "fly"), outside=say_yes)


async def test_a_run_that_nobody_answers_fails_and_says_what_it_waits_for() -> None:
    shop = Shop()
    with pytest.raises(AssertionError, match=r"without a kill: after .* `waiting` for approval; .*outside="):
        await survives(shop.app, shop.sell, "book", limit=0.5)


async def test_a_write_that_is_declared_repeatable_is_found_out() -> None:
    app = App("memory://")
    sent: list[str] = []

    async def send(to: str) -> str:
        sent.append(to)
        return f"{to}: {len(sent)}"

    @app.agent("careless")
    async def careless(run: Run) -> str:
        return await run.step("send", send, "ada")

    with pytest.raises(AssertionError, match="killed before entry number 2: the result is `'ada: 2'`"):
        await survives(app, careless, setup=sent.clear)


async def test_an_effect_outside_its_step_is_found_out() -> None:
    app = App("memory://")

    @app.tool(effect="write")
    async def pay() -> None:
        """Counted."""

    @app.agent("naked")
    async def naked(run: Run) -> None:
        await pay()
        await run.sleep(timedelta(days=1))

    # Without a kill it is called twice already, for its waking is a replay.
    with pytest.raises(AssertionError, match=r"the write `pay` was called 3 times, without the kill 2 times"):
        await survives(app, naked)


@pytest.mark.parametrize(("when", "entry"), [("during", None), ("after", "resulted")])
def test_a_boundary_that_there_is_not_is_refused(when: str, entry: str | None) -> None:
    with pytest.raises(ConfigError, match="is not"):
        Boundary(when, entry)  # pyright: ignore[reportArgumentType]  # that is the test


async def test_sync_tools_children_and_failures_survive_too() -> None:
    app = App("memory://")

    @app.tool(effect="idempotent")
    def note(text: str) -> str:
        return text.upper()

    @app.agent("child")
    async def child(run: Run, text: str) -> str:
        return await run.call(note, text)

    @app.agent("parent")
    async def parent(run: Run) -> str:
        said = await run.child(child, "hello")
        raise ValueError(said)

    trials = await survives(app, parent)

    assert {(t.status, t.error) for t in trials} == {("failed", "ValueError: HELLO")}


async def test_a_wait_of_three_days_takes_no_time(perdure_app: Any) -> None:
    app = perdure_app()

    @app.agent("patient")
    async def patient(run: Run) -> tuple[bool, int]:
        began = run.now()
        await run.sleep(timedelta(days=3))
        answer = await run.ask("still there?", timeout=timedelta(days=3))
        return answer.expired, (run.now() - began).days

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with app:
        run = await app.start(patient)
        assert await run.result() == (True, 6)
    assert loop.time() - began < 2


async def test_a_projects_own_app_is_run_in_memory(perdure_app: Any, tmp_path: Path) -> None:
    shop = Shop()
    shop.app.use_store(f"sqlite:///{tmp_path}/shop.db")
    app = perdure_app(shop.app)

    async with app:
        run = await app.start(shop.sell, "book")
        await say_yes(app, run)
        assert (await run.result())["by"] == "ann"

    assert not os.listdir(tmp_path)


async def test_the_fixture_kills(kill_at: Any) -> None:
    shop = Shop()
    trial = await kill_at(shop.app, shop.sell, "book", Boundary("before", "result", "mail"), outside=say_yes)
    assert trial.doubts == ("mail",)
    assert trial.calls["mail"] == 2


def test_the_plugin_loads_nothing_before_it_is_used() -> None:
    code = (
        "import sys, perdure.testing.plugin, perdure.testing\n"
        "loaded = {m for m in sys.modules if m.startswith('perdure') or m in ('pydantic', 'apsw')}\n"
        "assert loaded == {'perdure', 'perdure.testing', 'perdure.testing.plugin'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_of_the_face_is_there() -> None:
    for name in perdure.testing.__all__:
        assert getattr(perdure.testing, name) is not None
    with pytest.raises(AttributeError, match=r"`perdure\.testing` has no attribute `Murder`"):
        perdure.testing.Murder  # noqa: B018  # reading it is the test


async def test_a_budget_holds_on_the_other_store_too() -> None:
    class Model:
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            return ModelReply(text="yes")

    app = App("memory://", budget={"run": {"model_calls": 0, "on_limit": "stop"}})
    app.models.register("fake", Model())

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model("fake:m", "go")

    trial = await kill_at(app, asker, None, Boundary("before", "ended"))

    assert trial.status == "failed"
    assert trial.entries[-1].kind == Kind.ENDED
    assert b"holds 0 model calls" in trial.entries[-1].payload


async def test_whoever_waits_for_a_run_to_wait_is_told_that_it_has_ended() -> None:
    app = App("memory://")

    @app.agent("refuses")
    async def refuses(run: Run) -> None:
        raise ValueError("no tea")

    async with app:
        run = await app.start(refuses, run_id="r")
        with pytest.raises(
            AssertionError, match=r"run `r` ended `failed` and never waited for `signal`: .*no tea"
        ):
            async with asyncio.timeout(30):
                await until_waiting(app, run, "signal")
