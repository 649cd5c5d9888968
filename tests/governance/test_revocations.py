"""Revocations within one process: what is refused, what is asked of the store, and what if it cannot be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import (
    App,
    ConfigError,
    Credential,
    ModelReply,
    ModelRequest,
    Revoked,
    Run,
    RunFailed,
    StoreUnavailable,
)
from perdure.core.clock import SystemClock
from perdure.governance import Revocations, Who
from perdure.journal import Cell, CellKey
from tests.credentials.wallet import ANN, Wallet


async def test_a_model_is_not_asked_and_an_account_not_used(store_url: str) -> None:
    wallet = Wallet()
    app = wallet.app = App(store_url, credentials=wallet)
    wallet.keep("ghp-of-ann")
    asked: list[str] = []

    class Model:
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            asked.append(model)
            return ModelReply(text="hello", model=model)

    app.models.register("mine", Model())

    @app.tool(effect="read", credential="github")
    async def look(token: Credential) -> str:
        asked.append(token.provider)
        return "seen"

    @app.agent("desk")
    async def desk(run: Run, what: str) -> str:
        if what == "model":
            return await run.model("mine:m", "hello")
        return await run.call(look)

    async with app:
        for what in ("model", "tool"):
            await (await app.start(desk, what, on_behalf_of=ANN)).result()
        assert await app.revoke(user="ann")
        for what in ("model", "tool"):
            # a model goes by a look of the last second
            while True:
                known = len(asked)
                run = await app.start(desk, what, on_behalf_of=ANN)
                try:
                    await run.result()
                except RunFailed as failed:
                    assert "`user:ann` was revoked by operator" in str(failed)
                    break
                assert what == "model"
            assert len(asked) == known
        assert await (await app.start(desk, "model", by="user:bob")).result() == "hello"


async def test_nobody_is_asked_to_approve_what_would_be_refused() -> None:
    app = App("memory://")

    @app.tool(needs_approval=True)
    async def pay() -> None: ...

    @app.agent("desk")
    async def desk(run: Run) -> str:
        try:
            await run.call(pay)
        except Revoked as revoked:
            return f"{revoked.what} {revoked.name} {revoked.by}"
        return "paid"

    async with app:
        await app.revoke(agent="desk", by="ops")
        run = await app.start(desk)
        assert await run.result() == "agent desk ops"
        assert await app.open_approvals(run.id) == []
        assert await app.restore(agent="desk")
        assert not await app.restore(agent="desk")


async def test_where_the_store_cannot_be_read_nothing_is_done() -> None:
    app, sent = App("memory://"), list[str]()

    @app.tool(effect="write")
    async def send() -> None:
        sent.append("sent")

    @app.agent("desk")
    async def desk(run: Run) -> None:
        await run.call(send)

    cells = app.store.cells
    broken = asyncio.Event()

    async def away(kind: str, **more: Any) -> Any:
        if kind != "revoked":
            return await cells(kind, **more)
        broken.set()
        raise StoreUnavailable("the disk is away")

    app.store.cells = away  # type: ignore[method-assign]
    async with app:
        run = await app.start(desk)
        await broken.wait()
        assert (await run.record()).status in ("running", "pending")
        assert sent == []


class Slow:
    """A store whose looks end when the test says so."""

    def __init__(self) -> None:
        self.looks: list[asyncio.Future[list[tuple[CellKey, Cell]]]] = []

    async def cells(self, kind: str, **more: Any) -> list[tuple[CellKey, Cell]]:
        future: asyncio.Future[list[tuple[CellKey, Cell]]] = asyncio.get_running_loop().create_future()
        self.looks.append(future)
        return await future


async def test_a_look_counts_only_for_those_who_asked_before_it_began() -> None:
    store: Any = Slow()
    revocations = Revocations(store, SystemClock())
    first = revocations.look("default")
    await asyncio.sleep(0)
    second, third = revocations.look("default"), revocations.look("default")
    assert second is third
    assert second is not first
    store.looks[0].set_result([])
    assert (await first).first([Who("run", "r")]) is None
    assert not second.done()
    await asyncio.sleep(0)
    key = CellKey("t", "revoked", "run/r")
    data = b'{"what":"run","name":"r","by":"ops","reason":"","at":1}'
    store.looks[1].set_result([(key, Cell(data))])
    found = (await second).first([Who("agent", "a"), Who("run", "r")])
    assert found is not None and found.by == "ops"
    assert len(store.looks) == 2


async def test_more_than_a_page_of_them(store_url: str) -> None:
    app = App(store_url)
    await app.open()
    for n in range(3):
        await app.revoke(user=f"u{n}")
    from perdure.governance import revocations

    page, revocations.PAGE = revocations.PAGE, 2
    try:
        looks = app.revocations
        seen = await looks.look("default")
        assert not seen.whole
        for name, there in (("user:u2", True), ("user:u", False), ("user:u22", False)):
            found = await looks.one_by_one("default", [Who("user", name)])
            assert (found is not None) is there
        assert len(await app.revoked()) == 3
    finally:
        revocations.PAGE = page
        await app.close()


def test_who_is_meant() -> None:
    assert Who.of(user="ann") == Who("user", "user:ann")
    assert Who.of(user="system:nightly") == Who("user", "system:nightly")
    for wrong in ({}, {"agent": "a", "run": "r"}, {"agent": ""}, {"agent": "x" * 1000}):
        with pytest.raises(ConfigError):
            Who.of(**wrong)


async def test_who_works_for_somebody_who_is_revoked_is_stopped_too(store_url: str) -> None:
    app, sent = App(store_url), list[str]()

    @app.tool(effect="write")
    async def send() -> None:
        sent.append("sent")

    @app.agent("helper")
    async def helper(run: Run) -> None:
        await run.call(send)

    @app.agent("boss")
    async def boss(run: Run) -> None:
        await run.child(helper)

    async with app:
        await app.revoke(agent="boss")
        with pytest.raises(RunFailed, match="`boss` was revoked"):
            await (await app.start(boss)).result()
        assert sent == []
        await (await app.start(helper)).result()
    assert sent == ["sent"]
