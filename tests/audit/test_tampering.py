"""S35: whatever is done to a store behind everybody's back, `audit verify` fails, and says where."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from perdure.app import open_store
from perdure.audit import LogGrower, Signer, StoreReport, newest_checkpoint, verify_store
from perdure.core.errors import StoreCorrupt
from perdure.core.ids import RunRef
from perdure.engines.sequencer import Sequencer
from perdure.journal import Entry, Kind, RunRecord, RunStatus, Store, genesis, seal
from perdure.testing.conformance._scene import claimed, release
from perdure.testing.journals import JournalBuilder
from tests.places import Place

LOG = Signer.new("example.com/audit")
THIEF = Signer.new("example.com/audit")
"""Another key under the same name."""

RUNS = ("r1", "r2", "r3")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def filled(url: str) -> bytes:
    """Three runs, each head of which was looked at; the checkpoint that was sent away after the first two heads."""
    async with opened(url) as store:
        sequencer = Sequencer(store, LOG)
        runs = {name: (await claimed(store, name)).run for name in RUNS}
        builders = {name: JournalBuilder.of(run) for name, run in runs.items()}
        for name in RUNS:
            await store.append(builders[name].append(b'"paid 10"', b'"paid 20"'))
        await sequencer.catch_up()
        held = await newest_checkpoint(store)
        assert held is not None and held.size == len(RUNS)
        for name in RUNS:
            await store.append(builders[name].append(b'"paid 30"'))
        await release(store, _at(runs["r3"], builders["r3"]), RunStatus.SUCCEEDED)
        await sequencer.catch_up()
        return held.note.encode()


def _at(run: RunRecord, builder: JournalBuilder) -> RunRecord:
    return replace(run, head=builder.head, head_hash=builder.last)


async def verified(url: str, *, key: Signer = LOG, held: Sequence[bytes] = ()) -> StoreReport:
    async with opened(url) as store:
        return await verify_store(store, [key.verifier], held=held)


def said(report: StoreReport) -> str:
    return " | ".join(f"{f.what}: {f.message}" for f in report.faults)


async def test_a_store_as_it_was_written_is_sound(place: Place, tmp_path: Path) -> None:
    url = place.url(tmp_path)
    held = await filled(url)
    report = await verified(url, held=[held])
    assert said(report) == ""
    assert (report.runs, report.entries, report.leaves, report.behind) == (3, 13, 6, 0)
    assert [len(c.signed_by) for c in (*report.checkpoints, *report.held)] == [1, 1]


async def test_what_was_erased_does_not_count_as_changed(place: Place, tmp_path: Path) -> None:
    url = place.url(tmp_path)
    held = await filled(url)
    async with opened(url) as store:
        assert await store.prune(RunRef("default", "r3")) > 0
    assert said(await verified(url, held=[held])) == ""


async def test_a_run_that_went_on_is_behind_and_not_wrong(place: Place, tmp_path: Path) -> None:
    url = place.url(tmp_path)
    held = await filled(url)
    async with opened(url) as store:
        await store.annotate(RunRef("default", "r3"), Kind.OUTCOME, b"{}", actor="tester")
    report = await verified(url, held=[held])
    assert (said(report), report.behind) == ("", 1)


# a careless hand -----------------------------------------------------------------------------------------------

RID = "(select rid from runs where id = '{run}')"

CARELESS: dict[str, tuple[Sequence[str], str]] = {
    "a payload": (
        ["update entries set payload = {blob} where rid = {r2} and seq = 3"],
        r"run `r2`: entry 3 .* is not what was written",
    ),
    "a time": (
        ["update entries set at = at + 1 where rid = {r1} and seq = 2"],
        r"run `r1`: entry 2 .* is not what was written",
    ),
    "an entry deleted": (
        ["delete from entries where rid = {r1} and seq = 2"],
        r"run `r1`: entry 2 is missing",
    ),
    "two entries in another order": (
        [
            "update entries set seq = 99 where rid = {r1} and seq = 2",
            "update entries set seq = 2 where rid = {r1} and seq = 3",
            "update entries set seq = 3 where rid = {r1} and seq = 99",
        ],
        r"run `r1`: entry 2 .* is not what was written",
    ),
    "the end cut off": (
        ["delete from entries where rid = {r2} and seq = 4"],
        r"run `r2`: its journal ends at entry 3 and should end at entry 4",
    ),
    "the end cut off, and the row told": (
        [
            "delete from entries where rid = {r2} and seq = 4",
            "update runs set head = 3, head_hash = (select hash from entries where rid = runs.rid and seq = 3) "
            "where id = 'r2'",
        ],
        r"run `r2`: the log has seen entry 4 of it \(leaf 4\), and its journal ends at entry 3: it was cut",
    ),
    "a run deleted": (
        ["delete from entries where rid = {r2}", "delete from runs where id = 'r2'"],
        r"run `r2` is gone: the log has seen entry 3 of it \(leaf 1\)",
    ),
    "a run under another name": (
        ["update runs set id = 'r9' where id = 'r1'"],
        r"run `r9`: leaf 0 is filed under it, and is of run `r1`",
    ),
    "two leaves in another order": (
        [
            "update audit_leaves set n = 99 where n = 0",
            "update audit_leaves set n = 0 where n = 1",
            "update audit_leaves set n = 1 where n = 99",
        ],
        r"leaf 0 \(run `r2`, entry 3\) is not what the tree holds .* of 6 heads, is of other heads than the log has",
    ),
    "a leaf deleted": (["delete from audit_leaves where n = 2"], r"leaf 2 is missing"),
    "the log cut": (
        ["delete from audit_leaves where n > 3"],
        r"a checkpoint of the store is of 6 heads, and the log has 4: it was cut",
    ),
    "a leaf of another head": (
        ["update audit_leaves set hash = {blob} where n = 5"],
        r"leaf 5 \(run `r3`, entry 5\) is not what the tree holds",
    ),
    "the tree": (
        ["update audit_tiles set hashes = {blob} where level = 0 and n = 0"],
        r"leaf 0 \(run `r1`, entry 3\) is not what the tree holds",
    ),
    "a tile of a level above": (
        [
            "insert into audit_tiles (level, n, hashes) values (1, 0, {blob})",
            "update audit_tiles set n = 1 where level = 0",
        ],
        r"is not what the tree holds|has lost a part",
    ),
    "a checkpoint": (
        ["update audit_checkpoints set note = replace(note, 'example', 'Example')"],
        r"counts for nothing: the note is signed by",
    ),
    "the numbers in a checkpoint": (
        ["update audit_checkpoints set note = replace(note, '6', '5')"],
        r"counts for nothing|does not fit|no checkpoint",
    ),
}


@pytest.mark.parametrize("how", CARELESS)
async def test_whatever_a_careless_hand_changes(place: Place, tmp_path: Path, how: str) -> None:
    url = place.url(tmp_path)
    await filled(url)
    statements, expected = CARELESS[how]
    for statement in statements:
        runs = {run: RID.format(run=run) for run in RUNS}
        place.sql(url, statement.format(blob=blob(place, b"\1" * 32), **runs))
    report = await verified(url)
    assert report.faults
    assert re.search(expected, said(report)), said(report)


def blob(place: Place, data: bytes) -> str:
    return f"x'{data.hex()}'" if place.kind == "sqlite" else f"'\\x{data.hex()}'::bytea"


# a hand that knows how everything is made ----------------------------------------------------------------------


async def rewritten(place: Place, url: str, run: str, change: Callable[[Entry], bytes]) -> None:
    """The journal of a run with other payloads, and hashes that fit; so says its row, too."""
    async with opened(url) as store:
        ref = RunRef("default", run)
        entries = await store.read(ref)
        last = genesis(ref)
        for e in entries:
            fresh = seal(last, e.kind, e.seq, e.epoch, e.at, e.took, e.key, e.actor, e.fingerprint, change(e))
            last = fresh.hash
            place.sql(
                url,
                f"update entries set salt = {blob(place, fresh.salt)}, payload = {blob(place, fresh.payload)}, "
                f"codec = {fresh.codec}, hash = {blob(place, fresh.hash)} "
                f"where rid = {RID.format(run=run)} and seq = {e.seq}",
            )
        place.sql(url, f"update runs set head_hash = {blob(place, last)} where id = '{run}'")


async def log_made_anew(place: Place, url: str, by: Signer) -> None:
    """The whole log from the journals as they are now, with a tree and a checkpoint that fit."""
    for table in ("audit_leaves", "audit_tiles", "audit_checkpoints"):
        place.sql(url, f"delete from {table}")
    if place.kind == "sqlite":
        place.sql(url, "update audit_cursor set n = 0")
    else:
        place.sql(url, "insert into audit_moved (rids, at) select array_agg(rid), 0 from runs")
    async with opened(url) as store:
        await Sequencer(store, by).catch_up()


def more(entry: Entry) -> bytes:
    return entry.payload.replace(b"paid 20", b"paid 99")


async def test_a_journal_written_anew_is_not_the_one_that_the_log_has_seen(
    place: Place, tmp_path: Path
) -> None:
    url = place.url(tmp_path)
    await filled(url)
    await rewritten(place, url, "r2", more)
    report = await verified(url)
    assert said(report) == (
        "run: run `r2`: entry 3 is not the one that the log has seen (leaf 1): its journal was written anew"
    )
    fault = report.faults[0]
    assert (fault.run, fault.entry, fault.leaf) == (RunRef("default", "r2"), 3, 1)


async def test_everything_written_anew_under_another_key(place: Place, tmp_path: Path) -> None:
    """Chains, leaves, tree and checkpoint fit each other; the key is not the one that the auditor has."""
    url = place.url(tmp_path)
    await filled(url)
    await rewritten(place, url, "r2", more)
    await log_made_anew(place, url, THIEF)
    assert said(await verified(url, key=THIEF)) == "", "without the true key this passes"
    assert "counts for nothing: the note is signed by" in said(await verified(url))


async def test_everything_written_anew_under_the_very_key(place: Place, tmp_path: Path) -> None:
    """Who has the key too is shown by a checkpoint that he cannot take back."""
    url = place.url(tmp_path)
    held = await filled(url)
    await rewritten(place, url, "r2", more)
    await log_made_anew(place, url, LOG)
    assert said(await verified(url)) == "", "without a checkpoint held elsewhere this passes"
    report = await verified(url, held=[held])
    assert said(report) == (
        "checkpoint: the checkpoint that you hold, of 3 heads, is of other heads than the log has: they were changed "
        "or written anew"
    )


async def test_a_log_made_shorter_under_the_very_key(place: Place, tmp_path: Path) -> None:
    """As a restored backup is: everything fits, and something that was sent is gone."""
    url = place.url(tmp_path)
    await filled(url)
    async with opened(url) as store:
        newest = await newest_checkpoint(store)
    assert newest is not None
    await log_made_anew(place, url, LOG)
    assert said(await verified(url)) == ""
    assert "is of 6 heads, and the log has 3: it was cut" in said(
        await verified(url, held=[newest.note.encode()])
    )


async def test_the_log_does_not_go_on_over_what_was_changed(place: Place, tmp_path: Path) -> None:
    """Neither is a tree signed that lost leaves, nor one that has others: there is only one word under our key."""
    for statement in (
        "delete from audit_leaves where n > 3",
        "update audit_tiles set hashes = {blob} where level = 0 and n = 0",
    ):
        url = place.url(tmp_path)
        (tmp_path / "perdure.db").unlink(missing_ok=True)
        await filled(url)
        place.sql(url, statement.format(blob=blob(place, b"\1" * 192)))
        async with opened(url) as store:
            await claimed(store, "r4")
            with pytest.raises(StoreCorrupt, match=r"the audit log was (cut|changed)"):
                await store.integrate(LogGrower(LOG))
