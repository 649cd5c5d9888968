"""The log goes with a store that moves to another database; and what an older release wrote is found."""

from __future__ import annotations

from pathlib import Path

from perdure.app import open_store
from perdure.audit import Signer, newest_checkpoint, verify_store
from perdure.db.postgres.transfer import PostgresTarget
from perdure.db.sqlite.transfer import SqliteSource
from perdure.db.transfer import transfer
from perdure.engines.sequencer import Sequencer
from perdure.testing.conformance._scene import claimed, started
from perdure.testing.journals import JournalBuilder
from tests.places import Place, PostgresServer

LOG = Signer.new("example.com/audit")


async def test_a_log_that_moves_goes_on(tmp_path: Path, postgres: PostgresServer, postgres_url: str) -> None:
    """Leaves, tiles and checkpoints arrive; heads that were not integrated yet are, over there."""
    old = open_store(f"sqlite:///{tmp_path}/perdure.db")
    await old.open()
    for n in range(300):
        await started(old, f"r{n}")
    await Sequencer(old, LOG).catch_up()
    held = await newest_checkpoint(old)
    assert held is not None
    await old.keep_checkpoint(held.size, held.note)
    run = (await claimed(old, "r7")).run
    await old.append(JournalBuilder.of(run).append(b"1"))
    await started(old, "late")
    await old.deregister("w1")
    await old.close()

    moved = transfer(SqliteSource(f"sqlite:///{tmp_path}/perdure.db"), PostgresTarget(postgres_url))
    assert moved.rows["audit_leaves"] == 300

    new = open_store(postgres_url)
    await new.open()
    report = await verify_store(new, [LOG.verifier], held=[held.note])
    assert not report.faults and report.behind == 2
    assert await Sequencer(new, LOG).catch_up() == 302
    report = await verify_store(new, [LOG.verifier], held=[held.note])
    assert not report.faults and (report.leaves, report.behind, len(report.held)) == (302, 0, 1)
    await new.close()


async def test_heads_that_nobody_told_of_or_that_were_hidden_are_found(place: Place, store_url: str) -> None:
    """An older release tells nobody; who hides a head takes the row away, or sets the cursor behind it."""
    store = open_store(store_url)
    await store.open()
    for n in range(3):
        await started(store, f"r{n}")
    sqlite = place.kind == "sqlite"
    place.sql(store_url, "update audit_cursor set n = 99" if sqlite else "delete from audit_moved")
    sequencer = Sequencer(store, LOG)
    assert await sequencer.catch_up() == 0
    assert (await verify_store(store)).behind == 3
    assert await store.look_for_moved(limit=2) is not None
    assert await store.look_for_moved() is None
    assert await sequencer.catch_up() == 3
    await store.close()
