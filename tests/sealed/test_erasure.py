"""After an erasure nobody can read anything of the person, and everybody can verify what happened."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import App, Run, RunEnded, RunPruned, StoreCorrupt
from perdure.core.errors import SubjectErased, UnknownSubject
from perdure.core.ids import RunRef
from perdure.db.sealed.keys import cell_key
from perdure.journal import ENDINGS, Kind, RunQuery, RunStatus, verify_chain
from tests.places import Place

from .clinic import PATIENT, SAID, found_in, new_app, on_disk, question, until_it_waits_for


async def wrapped_key(app: App, subject: str = PATIENT) -> bytes:
    """The key as it stands in the store."""
    key = cell_key("default", subject)
    found = dict(await app.store.cells(key.kind, tenant=key.tenant))
    return json.loads(found[key].data)["sealed"].encode()


async def in_flight(app: App) -> str:
    """A run about the patient, and its child's, that waits for an answer."""
    run = await app.start("clinic", SAID["input"], run_id="visit", subject=PATIENT)
    await until_it_waits_for(app, run, "signal")
    await run.signal("note", SAID["signal"])
    await question(app, run)
    await until_it_waits_for(app, run, "approval")
    return (await app.store.approvals(ref=run.ref))[0].step


async def test_a_person_is_erased(place: Place, store_url: str, tmp_path: Path) -> None:
    async with new_app(store_url, tmp_path) as app:
        step = await in_flight(app)
        other = await app.start("ward", "somebody else", run_id="other", subject="patient:2")
        plain = await app.start("ward", "nobody", run_id="plain")
        results = [await r.result() for r in (other, plain)]
        heads = {r.ref.id: (r.head, r.head_hash) for r in await app.store.find(RunQuery(subject=PATIENT))}
        key = await wrapped_key(app)
        assert key in on_disk(place, store_url)

        done = await app.erase(PATIENT, by="user:officer")

        assert (done.runs, done.ended, done.in_doubt, done.by) == (2, ["visit"], [], "user:officer")
        runs = await app.store.find(RunQuery(subject=PATIENT))
        assert len(runs) == 2
        for run in runs:
            assert run.status in ENDINGS
            assert run.reasons == ()
            assert run.progress is None
            assert run.pruned_at is not None
            entries = await app.store.read(run.ref)
            assert (entries[-1].seq, entries[-1].hash) == verify_chain(run.ref, entries)
            assert entries[-1].seq == run.head
            assert entries[heads[run.ref.id][0] - 1].hash == heads[run.ref.id][1]
            assert all(e.erased and not e.sealed for e in entries if e.kind != Kind.CHARGED)
            with pytest.raises(StoreCorrupt, match="erased"):
                verify_chain(run.ref, entries, whole=True)
            assert found_in(b"".join(e.payload for e in entries)) == set()
        assert sum(run.head for run in runs) == done.entries
        assert await app.open_approvals() == []
        for kind in ("cache", "notice", "precedent"):
            assert await app.store.cells(kind) == []
        # the key's bytes are gone: from the file and its log, or from the rows of a table
        assert key not in on_disk(place, store_url)
        assert (done.left == "") is (place.kind == "sqlite")

        # nothing can be built on it, added to it, or begun anew
        with pytest.raises(RunPruned):
            await (await app.handle("visit")).result()
        with pytest.raises(RunPruned):
            await app.fork("visit", from_step="ask")
        with pytest.raises(SubjectErased, match="was erased"):
            await app.start("clinic", "again", subject=PATIENT)
        with pytest.raises(SubjectErased):
            await app.outcome("visit", True, by="user:ann", evidence=SAID["context"])
        with pytest.raises((SubjectErased, RunEnded)):
            await app.signal("visit", "note", SAID["signal"])
        with pytest.raises(Exception, match="no open question"):
            await app.answer("visit", step, approved=True, by="user:ann", value="x")

        # nobody else has lost anything
        assert [await (await app.handle(r.id)).result() for r in (other, plain)] == results
        verify_chain(other.ref, await other.entries(), whole=True)


async def test_what_was_done_is_recorded(store_url: str, tmp_path: Path) -> None:
    async with new_app(store_url, tmp_path) as app:
        await in_flight(app)
        done = await app.erase(PATIENT, by="user:officer")
        record = await app.handle(done.record)
        entries = await record.entries()
        verify_chain(record.ref, entries, whole=True)
        assert await record.status() is RunStatus.SUCCEEDED
        assert all(e.actor == "user:officer" for e in entries)
        told = await record.result()
        assert told["runs"] == 2
        assert told["ended"] == ["visit"]
        assert told["entries"] == done.entries
        known = {r.ref.id: [r.ref.id, r.head, r.head_hash.hex()] for r in await app.store.find(RunQuery())}
        assert told["heads"] == [known[name] for name, _, _ in told["heads"]]
        assert await app.erase(PATIENT, by="user:somebody") == done


@pytest.mark.parametrize("until", ["begun", "ended", "destroyed", "pruned"])
async def test_an_interrupted_erasure_is_finished(
    store_url: str, tmp_path: Path, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(Exception):
        pass

    async def die(*_: object, **__: object) -> None:
        raise Died

    async with new_app(store_url, tmp_path) as app:
        await in_flight(app)
        store: object = app.store
        keys: object = app.store.keys  # type: ignore[attr-defined]
        where, name = {
            "begun": (store, "seize"),
            "ended": (keys, "destroy"),
            "destroyed": (store, "prune"),
            "pruned": (store, "forget_person"),
        }[until]
        with monkeypatch.context() as patch:
            patch.setattr(where, name, die)
            with pytest.raises(Died):
                await app.erase(PATIENT, by="user:officer")
        with pytest.raises(SubjectErased):  # from the first step on nothing more is taken
            await app.start("clinic", "again", subject=PATIENT)
        for run in await app.store.find(RunQuery(subject=PATIENT)):
            readable = [e for e in await app.store.read(run.ref) if not e.erased and e.kind != Kind.CHARGED]
            assert bool(readable) is (until in ("begun", "ended"))

    async with new_app(store_url, tmp_path) as app:
        done = await app.erase(PATIENT, by="user:somebody")
        assert (done.by, done.ended, done.runs) == ("user:officer", ["visit"], 2)
        assert (await (await app.handle(done.record)).result())["ended"] == ["visit"]
        assert {e.erased for r in await app.store.find(RunQuery(subject=PATIENT)) for e in await app.store.read(r.ref)
                if e.kind != Kind.CHARGED} == {True}  # fmt: skip


async def test_a_worker_elsewhere_makes_no_further_effect(store_url: str, tmp_path: Path) -> None:
    """It holds the key, and its run was taken from it: the next thing that it writes is refused."""
    paid: list[int] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    def program() -> App:
        app = App(store_url, lease=timedelta(seconds=30))

        @app.tool(effect="write")
        def pay(n: int) -> int:
            paid.append(n)
            return n

        async def think() -> None:
            begun.set()
            await go_on.wait()

        @app.agent("pays")
        async def pays(run: Run, name: str) -> None:
            await run.call(pay, 1)
            await run.step("think", think)
            await run.call(pay, 2)

        return app

    officer = program()
    async with program() as worker:
        await worker.start("pays", SAID["input"], run_id="p", subject=PATIENT)
        await begun.wait()
        await officer.open()
        done = await officer.erase(PATIENT, by="user:officer")
        assert done.ended == ["p"]
        go_on.set()
        plain = await worker.start("pays", "x", run_id="q")
        await plain.result()  # the worker lives, and has looked at what it had
    await officer.close()
    assert paid == [1, 1, 2]


async def test_what_was_under_way_is_named(store_url: str, tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    app, officer = (App(store_url, lease=timedelta(seconds=30)) for _ in range(2))

    @app.tool(effect="write")
    async def pay() -> None:
        begun.set()
        await go_on.wait()

    @app.agent("pays")
    async def pays(run: Run) -> None:
        await run.call(pay)

    async with app:
        await app.start("pays", run_id="p", subject=PATIENT)
        await begun.wait()
        await officer.open()
        done = await officer.erase(PATIENT, by="user:officer")
        assert done.in_doubt == ["p pay"]
        go_on.set()
    await officer.close()


async def test_nobody_of_that_name(store_url: str, tmp_path: Path) -> None:
    app = new_app(store_url, tmp_path)
    await app.open()
    await app.start("ward", "x", subject=PATIENT)
    for subject, tenant in (("patient:47", None), (PATIENT, "other")):
        with pytest.raises(UnknownSubject, match=subject):
            await app.erase(subject, by="user:officer", tenant=tenant)
    assert (await app.erasable(PATIENT)).in_flight == 1
    await app.close()


async def test_of_many_first_runs_one_makes_the_key(store_url: str, tmp_path: Path) -> None:
    apps = [new_app(store_url, tmp_path) for _ in range(3)]
    for app in apps:
        await app.open()
    runs = await asyncio.gather(
        *(app.start("ward", SAID["input"], run_id=f"r{n}", subject=PATIENT) for n, app in enumerate(apps))
    )
    for app in apps:
        for run in runs:
            entries = await app.store.read(run.ref)
            verify_chain(run.ref, entries, whole=True)
            assert SAID["input"].encode() in entries[0].payload
    assert len({(await app.store.tenant_key("default", subject=PATIENT)) for app in apps}) == 1
    for app in apps:
        await app.close()


async def test_whoever_had_the_key_at_hand_is_refused(store_url: str, tmp_path: Path) -> None:
    """A start that had begun before the erasure does not slip past it, and another process cannot read on."""
    late, officer = new_app(store_url, tmp_path), new_app(store_url, tmp_path)
    await late.open()
    await officer.open()
    run = await late.start("ward", SAID["input"], run_id="r", subject=PATIENT)
    keys = late.store.keys  # type: ignore[attr-defined]
    at_hand = await keys.get("default", PATIENT)
    await officer.erase(PATIENT, by="user:officer")
    assert all(e.erased for e in await late.store.read(run.ref))

    async def get(*_: object) -> object:
        return at_hand

    keys.get = get
    with pytest.raises(SubjectErased):
        await late.start("ward", SAID["input"], run_id="s", subject=PATIENT)
    assert await late.store.get(late.ref("s")) is None
    await late.close()
    await officer.close()


async def test_of_two_tenants_one_is_erased(store_url: str, tmp_path: Path) -> None:
    app = new_app(store_url, tmp_path)
    await app.open()
    for tenant in ("acme", "beta"):
        await app.start("ward", SAID["input"], run_id="r", subject=PATIENT, tenant=tenant)
    await app.erase(PATIENT, by="user:officer", tenant="acme")
    there, gone = await asyncio.gather(*(app.store.read(RunRef(tenant, "r")) for tenant in ("beta", "acme")))
    assert SAID["input"].encode() in there[0].payload
    assert all(e.erased for e in gone)
    await app.close()
