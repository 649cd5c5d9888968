"""What reads and rewrites journals does so with sealed ones, where the key is; where it is not, it says so."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import (
    App,
    ConfigError,
    EffectKey,
    Handle,
    Run,
    RunFailed,
    StoreCorrupt,
    StoreSealed,
    verify_chain,
)
from perdure.identity import MasterKeys
from perdure.journal import Kind, RunQuery, read_export, write_export
from perdure.testing import survives, until_waiting
from tests.places import Place, SqlitePlace

from .clinic import until_it_waits_for

SECRET = "marigold"
CALLS: list[str] = []


def new_app(url: str) -> App:
    app = App(url, lease=timedelta(seconds=30))

    @app.tool(effect="read", cache=timedelta(hours=1))
    def look_up(name: str) -> str:
        CALLS.append(name)
        return f"{name} found"

    @app.agent("desk")
    async def desk(run: Run, name: str) -> str:
        found = await run.call(look_up, name)
        word = await run.receive("word", str)
        if word == "fail":
            raise ValueError(word)
        return f"{found}, {word}"

    @app.agent("hands-on")
    async def hands_on(run: Run, name: str) -> str:
        return await run.child(desk, name)

    return app


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes the master key away."""

    def taken() -> None:
        monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())

    return taken


async def waiting(url: str, subject: str | None = "customer:1", *, run_id: str = "r") -> None:
    """A run about a customer that waits for a word."""
    async with new_app(url) as app:
        run = await app.start("desk", SECRET, run_id=run_id, subject=subject)
        await until_it_waits_for(app, run, "signal")


async def test_it_is_replayed_by_a_worker_that_comes_later(store_url: str) -> None:
    await waiting(store_url)
    async with new_app(store_url) as app:
        run = await app.handle("r")
        await run.signal("word", "go")
        assert await run.result() == f"{SECRET} found, go"
    assert CALLS == [SECRET]


async def test_it_is_forked_and_retried(store_url: str) -> None:
    await waiting(store_url)
    async with new_app(store_url) as app:
        run = await app.handle("r")
        await run.signal("word", "fail")
        with pytest.raises(RunFailed):
            await run.result()
        retry = await app.retry("r")
        with pytest.raises(RunFailed, match="fail"):  # it has the word that it was sent
            await retry.result()
        fork = await app.fork("r", from_step="word")
        await fork.signal("word", "go")
        assert await fork.result() == f"{SECRET} found, go"
        for other in (retry, fork):
            assert (await other.record()).subject == "customer:1"
            verify_chain(other.ref, await other.entries(), whole=True)
            raw = await app.store.inner.read(other.ref)  # type: ignore[attr-defined]
            assert all(e.sealed for e in raw if e.kind != Kind.CHARGED)
            assert verify_chain(other.ref, raw) == verify_chain(other.ref, await other.entries())
    assert CALLS == [SECRET]


async def test_a_worker_without_the_key_sets_it_aside_and_one_with_it_goes_on(
    store_url: str, lock: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting(store_url)
    key = os.environ["PERDURE_MASTER_KEY"]
    async with new_app(store_url) as app:
        await (await app.handle("r")).signal("word", "go")
        heads = (await (await app.handle("r")).record()).head
    lock()
    officer = new_app(store_url)
    await officer.open()
    with pytest.raises(StoreSealed):
        await officer.signal("r", "word", "go")
    with pytest.raises(StoreSealed):
        await officer.fork("r", from_step="word")
    await officer.close()
    monkeypatch.setenv("PERDURE_MASTER_KEY", key)
    await waiting(store_url, run_id="second")
    lock()
    async with new_app(store_url) as app:
        await app.store.wake(app.ref("second"))
        run = await app.handle("second")
        await until_it_waits_for(app, run, "sealed")
        entries = await run.entries()
        assert all(e.sealed for e in entries if e.kind != Kind.CHARGED)
        assert verify_chain(run.ref, entries)[0] == (await run.record()).head
        plain = await app.start("desk", "x", run_id="plain")
        await until_it_waits_for(app, plain, "signal")  # its neighbours go on
    monkeypatch.setenv("PERDURE_MASTER_KEY", key)
    async with new_app(store_url) as app:
        run = await app.handle("second")
        await app.resume("second")
        await run.signal("word", "go")
        assert await run.result() == f"{SECRET} found, go"
        assert heads > 0


async def test_the_master_key_may_change_while_a_worker_works(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = os.environ["PERDURE_MASTER_KEY"], MasterKeys.new()
    async with new_app(store_url) as app:
        run = await app.start("desk", SECRET, run_id="r", subject="customer:1")
        await until_it_waits_for(app, run, "signal")
        monkeypatch.setenv("PERDURE_MASTER_KEY", f"{new}\n{old}")
        other = new_app(store_url)
        await other.open()
        two = await other.start(
            "desk", SECRET, run_id="two", subject="customer:2"
        )  # its key is under the new one
        await other.close()
        await until_it_waits_for(app, await app.handle(two.id), "signal")
        for each in (run, two):
            await app.signal(each.id, "word", "go")
            assert await (await app.handle(each.id)).result() == f"{SECRET} found, go"


async def test_an_export_verifies_with_the_key_and_without(store_url: str, lock: Callable[[], None]) -> None:
    await waiting(store_url)

    async def exported() -> tuple[str, list[bool]]:
        app = new_app(store_url)
        await app.open()
        run = await app.handle("r")
        file = io.StringIO()
        write_export(await run.entries(), file)
        record = await run.record()
        await app.close()
        text = file.getvalue()
        header = '{"perdure_export": 1, "format": 1, "tenant": "default", "run": "r", "head": 0, "head_hash": ""}\n'
        _, entries = read_export(io.StringIO(header + text), source="the test")
        found = list(entries)
        assert verify_chain(run.ref, found) == (record.head, record.head_hash)
        return text, [e.erased for e in found if e.kind != Kind.CHARGED]

    text, erased = await exported()
    assert SECRET in text
    assert not any(erased)
    lock()
    text, erased = await exported()
    assert SECRET not in text
    assert all(erased)


async def test_what_is_pruned_is_gone_with_the_key_too(store_url: str) -> None:
    await waiting(store_url)
    async with new_app(store_url) as app:
        run = await app.handle("r")
        await run.signal("word", "go")
        await run.result()
        await app.outcome("r", True, by="user:ann", evidence=SECRET)
        (said,) = await app.outcomes("r")
        assert said.evidence == SECRET
        whole = verify_chain(run.ref, await run.entries(), whole=True)
        assert await app.prune("r") > 4
        entries = await app.store.inner.read(run.ref)  # type: ignore[attr-defined]
        assert verify_chain(run.ref, entries) == whole
        assert all(e.erased and not e.sealed for e in entries if e.kind != Kind.CHARGED)
        assert await app.prune("r") == 0


async def test_a_child_is_about_the_same_person(store_url: str) -> None:
    async with new_app(store_url) as app:
        run = await app.start("hands-on", SECRET, run_id="p", subject="customer:1")
        await until_it_waits_for(app, run, "child")
        (child,) = await app.store.find(RunQuery(parent="p"))
        assert child.subject == "customer:1"
        handle = await app.handle(child.ref.id)
        await until_it_waits_for(app, handle, "signal")
        await handle.signal("word", "go")
        assert await run.result() == f"{SECRET} found, go"
        raw = await app.store.inner.read(run.ref)  # type: ignore[attr-defined]
        assert SECRET.encode() not in b"".join(e.payload for e in raw)

        from perdure.journal import NewRun, genesis, seal

        ref = app.ref("odd")
        first = seal(genesis(ref), Kind.STARTED, 1, 0, 1, 0, "", "test", b"", b"{}")
        for parent, subject in (("p", None), ("p", "customer:2")):
            with pytest.raises(ConfigError, match="its parent `p` about `customer:1`"):
                await app.store.create(
                    NewRun(ref=ref, agent="a", version="1", entries=[first], parent=parent, subject=subject)
                )


async def test_cached_results_are_not_shared_between_persons(store_url: str) -> None:
    await waiting(store_url, "customer:1", run_id="a")
    await waiting(store_url, "customer:1", run_id="b")
    await waiting(store_url, "customer:2", run_id="c")
    await waiting(store_url, None, run_id="d")
    assert len(CALLS) == 3


async def test_a_flipped_byte_is_found(store_url: str, place: Place) -> None:
    await waiting(store_url)
    if isinstance(place, SqlitePlace):
        last = "substr(payload, 1, length(payload) - 1) || x'00'"
        place.sql(store_url, f"update entries set payload = cast({last} as blob) where seq = 3")
    else:
        place.sql(
            store_url,
            "update entries set payload = set_byte(payload, 40, 255 - get_byte(payload, 40)) where seq = 3",
        )
    async with new_app(store_url) as app:
        run = await app.handle("r")
        with pytest.raises(StoreCorrupt, match="entry 3"):
            verify_chain(run.ref, await run.entries())
        await run.signal("word", "go")
        await until_it_waits_for(app, run, "corrupt")


async def test_it_survives_a_kill_at_every_boundary() -> None:
    paid: list[str] = []
    app = App("memory://")

    @app.tool(effect="idempotent")
    def pay(name: str, key: EffectKey) -> str:
        if key not in paid:
            paid.append(key)
        return name

    @app.agent("pays")
    async def pays(run: Run, name: str) -> str:
        run.progress(name)
        first = await run.call(pay, name)
        word = await run.receive("word", str)
        return first + word

    async def outside(world: App, run: Handle) -> None:
        await until_waiting(world, run, "signal")
        await run.signal("word", SECRET)

    trials = await survives(app, pays, SECRET, outside=outside, subject="customer:1")
    assert len(trials) > 10
    assert {trial.result for trial in trials} == {SECRET * 2}


def test_a_key_shows_nothing(tmp_path: Path) -> None:
    from perdure.db.sealed.form import SubjectKey

    assert repr(SubjectKey("acme", "customer:1", bytes(32))) == "SubjectKey('acme', 'customer:1')"
