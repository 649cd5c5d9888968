"""Nothing that a run about a person says can be read where it is stored, neither while it goes on nor after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure import ConfigError, Handle, RunConflict, RunFailed
from perdure.app import App
from perdure.journal import Kind, RunQuery, verify_chain
from tests.places import Place

from .clinic import KEPT, PATIENT, SAID, found_in, new_app, on_disk, question, until_it_waits_for


async def treated(app: App, place: Place, url: str, subject: str | None) -> tuple[Handle, list[set[str]]]:
    """A run from its beginning to its end, and what of it stood on the disk at each of its waits."""
    seen: list[set[str]] = []
    run = await app.start("clinic", SAID["input"], run_id="visit", subject=subject)
    await until_it_waits_for(app, run, "signal")
    seen.append(found_in(on_disk(place, url)))
    await run.signal("note", SAID["signal"])
    asked = await question(app, run)
    await until_it_waits_for(app, run, "approval")
    assert asked.question == SAID["question"]
    seen.append(found_in(on_disk(place, url)))
    await app.answer("visit", asked.step, approved=True, by="user:ann", value=SAID["answer"])
    while (call := await question(app, run)).tool != "pay":
        await app.store.changed(app.store.changes(), within=0.2)
    await until_it_waits_for(app, run, "approval")
    seen.append(found_in(on_disk(place, url)))
    assert call.arguments == {"name": SAID["approval"]}
    await app.answer("visit", call.step, approved=True, by="user:ann", digest=call.digest)
    with pytest.raises(RunFailed, match=SAID["reason"]):
        await run.result()
    seen.append(found_in(on_disk(place, url)))
    return run, seen


async def test_of_a_person_not_one_byte_is_plain(place: Place, store_url: str, tmp_path: Path) -> None:
    async with new_app(store_url, tmp_path) as app:
        run, seen = await treated(app, place, store_url, PATIENT)
        assert seen == [set(), set(), set(), set()]

        # and through the app everything is there
        record = await run.record()
        assert record.reasons == (SAID["reason"],)
        assert SAID["progress"] in (record.progress or "")
        entries = [e for r in await app.store.find(RunQuery()) for e in await app.store.read(r.ref)]
        verify_chain(run.ref, await run.entries(), whole=True)
        journals = b"".join(e.payload for e in entries)
        assert found_in(journals) == KEPT
        (digest,) = {
            json.loads(e.payload)["digest"]
            for e in entries
            if e.kind == Kind.VERDICT and b'"approved"' in e.payload
        }
        counted = [json.loads(cell.data) for _, cell in await app.store.cells("approver")]
        assert sum(len(one.get("answered", ())) for one in counted) == 1
        assert digest not in str(counted)
        (notice,) = await app.escalations()
        assert SAID["context"] in notice.notice.body
    assert found_in(on_disk(place, store_url)) == set()


async def test_of_nobody_in_particular_it_can_be_found(place: Place, store_url: str, tmp_path: Path) -> None:
    """So that the search above can fail."""
    async with new_app(store_url, tmp_path) as app:
        _, seen = await treated(app, place, store_url, None)
    assert set.union(*seen) == KEPT


async def test_the_fingerprints_of_a_person_are_not_the_tenants(store_url: str, tmp_path: Path) -> None:
    app = new_app(store_url, tmp_path)
    await app.open()
    runs = [
        await app.start("ward", "the same", subject=subject) for subject in (None, None, PATIENT, "patient:2")
    ]
    marks = [(await run.entries())[0].fingerprint for run in runs]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3
    again = await app.start("ward", "the same", run_id=runs[2].id, subject=PATIENT)
    assert not again.fresh
    with pytest.raises(RunConflict):
        await app.start("ward", "the same", run_id=runs[2].id)
    await app.close()


async def test_without_a_master_key_nothing_is_taken(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERDURE_MASTER_KEY")
    app = new_app(store_url, tmp_path, identity={"master_key": tmp_path / "none.key"})
    await app.open()
    with pytest.raises(ConfigError, match="no key to seal it with"):
        await app.start("clinic", SAID["input"], subject=PATIENT)
    assert await app.store.count(RunQuery()) == 0
    assert (await app.start("clinic", "x")).fresh
    await app.close()


@pytest.mark.parametrize("subject", ["", "a\nb", "a\0b", "x" * 201])
async def test_what_cannot_be_a_name(subject: str) -> None:
    app = App("memory://")
    with pytest.raises(ConfigError, match="cannot name a data subject"):
        await app.start(app.agent("a")(_nothing), subject=subject)


async def _nothing(run: object) -> None: ...
