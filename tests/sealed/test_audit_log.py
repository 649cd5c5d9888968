"""The audit log over runs about a person: sealed or erased, they verify as all others do, with and without the key."""

from __future__ import annotations

from pathlib import Path

from perdure.app import open_store
from perdure.audit import Signer, newest_checkpoint, prove, prove_entries, verify_store
from perdure.engines.sequencer import Sequencer
from perdure.journal import RunQuery

from .clinic import PATIENT, new_app
from .test_erasure import in_flight

LOG = Signer.new("example.com/audit")


async def test_what_was_erased_still_verifies_against_a_checkpoint_of_before(
    store_url: str, tmp_path: Path
) -> None:
    async with new_app(store_url, tmp_path) as app:
        await in_flight(app)
        await Sequencer(app.store, LOG).catch_up()
        held = await newest_checkpoint(app.store)
        assert held is not None
        before = await verify_store(app.store, [LOG.verifier], held=[held.note])
        assert not before.faults and before.entries > 0

        await app.erase(PATIENT, by="user:officer")
        await Sequencer(app.store, LOG).catch_up()
        for store in (app.store, open_store(store_url)):  # the second knows of no keys
            await store.open()
            after = await verify_store(store, [LOG.verifier], held=[held.note])
            assert not after.faults and len(after.held) == 1 and after.entries > before.entries
            for run in await store.find(RunQuery(subject=PATIENT)):
                proof = await prove(store, run)
                proven = prove_entries(run.ref, await store.read(run.ref), proof, [LOG.verifier])
                assert proven.seq == proven.entries == run.head
        await store.close()
