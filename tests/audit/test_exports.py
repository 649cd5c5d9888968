"""Checkpoints go where nobody can take them back, on a schedule, and never two that contradict each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure.audit import Signer, newest_checkpoint, open_checkpoint, verify_store
from perdure.audit.destinations import Folder, Witness, destination_of
from perdure.core.audit_settings import AuditSettings
from perdure.core.errors import ConfigError
from perdure.db.memory import MemoryStore
from perdure.engines.exporter import CheckpointExporter, exports
from perdure.engines.sequencer import Sequencer
from perdure.journal import Store
from perdure.testing import ManualClock
from perdure.testing.conformance._scene import started

from .witness_server import WitnessServer, serving

LOG = Signer.new("example.com/audit")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[MemoryStore]:
    store = MemoryStore(clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def witness() -> Iterator[WitnessServer]:
    with serving(WitnessServer(LOG.verifier)) as made:
        yield made


async def grow(store: Store, *names: str) -> None:
    for name in names:
        await started(store, name)
    await Sequencer(store, LOG).catch_up()


async def test_a_folder_gets_the_newest_and_keeps_each(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    exporter = CheckpointExporter(store, [Folder(tmp_path / "away")], every=MINUTE)
    await grow(store, "a", "b")
    await exporter.tick()
    await grow(store, "c")
    await exporter.tick()  # not due yet
    assert [p.name for p in (tmp_path / "away" / "checkpoints").iterdir()] == ["00000000000000000002"]
    clock.advance(61)
    await exporter.tick()
    sizes = sorted(p.name for p in (tmp_path / "away" / "checkpoints").iterdir())
    assert sizes == ["00000000000000000002", "00000000000000000003"]
    newest = open_checkpoint((tmp_path / "away" / "checkpoint").read_bytes(), [LOG.verifier])
    assert newest.checkpoint.size == 3
    assert {c.size for c in await store.checkpoints(limit=10)} == {2, 3}, "what was sent stays"
    held = [p.read_bytes() for p in (tmp_path / "away" / "checkpoints").iterdir()]
    report = await verify_store(store, [LOG.verifier], held=held)
    assert not report.faults and len(report.held) == 2


async def test_of_several_exporters_one_sends(
    store: MemoryStore, witness: WitnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All see that it is due before the first takes it."""
    await grow(store, "a")
    look = store.cells

    async def slowly(*given: Any, **options: Any) -> Any:
        found = await look(*given, **options)
        await asyncio.sleep(0)
        return found

    monkeypatch.setattr(store, "cells", slowly)
    exporters = [CheckpointExporter(store, [Witness(witness.url)], every=MINUTE) for _ in range(4)]
    await asyncio.gather(*(exporter.tick() for exporter in exporters))
    assert witness.asked == [0]


async def test_a_witness_cosigns_what_it_has_seen_grow(
    store: Store, clock: ManualClock, witness: WitnessServer
) -> None:
    exporter = CheckpointExporter(
        store, [Witness(witness.url)], every=MINUTE, witnesses=[witness.signer.verifier]
    )
    for names in (["a"], ["b", "c"], ["d"]):
        await grow(store, *names)
        await exporter.tick()
        clock.advance(61)
    assert witness.asked == [0, 1, 3]
    newest = await newest_checkpoint(store)
    assert newest is not None
    signed = open_checkpoint(newest.note, [LOG.verifier, witness.signer.verifier]).signed_by
    assert [(by.name, by.at) for by in signed] == [
        ("example.com/audit", None),
        ("witness.example", witness.time),
    ]
    assert (await exports(store))[f"witness+{witness.url}"]["signed_by"] == ["witness.example"]


async def test_a_witness_that_has_seen_more_than_we_know_says_so(
    store: Store, witness: WitnessServer
) -> None:
    """409 with a size: the proof is made again from there."""
    await grow(store, "a", "b")
    await CheckpointExporter(store, [Witness(witness.url)], every=MINUTE).tick()
    await grow(store, "c")
    await store.forget_cells("audit_export", before=1 << 60)
    await CheckpointExporter(store, [Witness(witness.url)], every=MINUTE).tick()
    assert witness.asked == [0, 0, 2]
    assert witness.seen["example.com/audit"].size == 3


async def test_a_log_written_anew_is_not_cosigned(
    store: Store, clock: ManualClock, witness: WitnessServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The same key, the same sizes and more, other leaves: 409 and 422."""
    await grow(store, "a", "b", "c")
    await CheckpointExporter(store, [Witness(witness.url)], every=MINUTE).tick()
    for names in (["x", "b", "c"], ["x", "b", "c", "d"]):
        other = MemoryStore(clock)
        await other.open()
        await grow(other, *names)
        found = await CheckpointExporter(other, [Witness(witness.url)], every=MINUTE).send_all()
        (state,) = found.values()
        assert "does not cosign" in state["error"] and "the log was changed" in state["error"]
    assert "THE AUDIT LOG IS NOT WHAT WAS SENT" in caplog.text
    assert witness.seen["example.com/audit"].size == 3


async def test_a_witness_that_does_not_know_us(store: Store) -> None:
    await grow(store, "a")
    with serving(WitnessServer()) as stranger:
        (state,) = (
            await CheckpointExporter(store, [Witness(stranger.url)], every=MINUTE).send_all()
        ).values()
    assert "does not know this log" in state["error"]
    with serving(WitnessServer(Signer.new(LOG.name).verifier)) as stranger:
        (state,) = (
            await CheckpointExporter(store, [Witness(stranger.url)], every=MINUTE).send_all()
        ).values()
    assert "trusts another key" in state["error"]


async def test_a_signature_of_somebody_else_is_not_taken(store: Store, witness: WitnessServer) -> None:
    await grow(store, "a")
    other = Signer.new("witness.example", type=witness.signer.type).verifier
    exporter = CheckpointExporter(store, [Witness(witness.url)], every=MINUTE, witnesses=[other])
    (state,) = (await exporter.send_all()).values()
    assert "not among `witnesses`" in state["error"]


async def test_a_store_that_was_set_back_sends_nothing(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """A shorter log, another log of the same length, and one of another name: each is refused, and nothing touched."""
    place = Folder(tmp_path / "away")
    await grow(store, "a", "b")
    await CheckpointExporter(store, [place], every=MINUTE).send_all()
    before = place.get("checkpoint")
    for names, why in ((["a"], "it was cut"), (["a", "x"], "not the beginning of this audit log")):
        other = MemoryStore(clock)
        await other.open()
        await grow(other, *names)
        (state,) = (await CheckpointExporter(other, [place], every=MINUTE).send_all()).values()
        assert why in state["error"]
    other = MemoryStore(clock)
    await other.open()
    await started(other, "a")
    await Sequencer(other, Signer.new("example.com/another")).catch_up()
    (state,) = (await CheckpointExporter(other, [place], every=MINUTE).send_all()).values()
    assert "give each log a place of its own" in state["error"]
    assert place.get("checkpoint") == before


async def test_a_place_that_is_not_there_is_tried_again(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    exporter = CheckpointExporter(store, [Folder(tmp_path / "file" / "away")], every=timedelta(hours=1))
    await grow(store, "a")
    await exporter.tick()
    (state,) = (await exports(store)).values()
    assert "cannot be" in state["error"]
    (tmp_path / "file").unlink()
    clock.advance(31)
    await exporter.tick()
    (state,) = (await exports(store)).values()
    assert state["error"] is None and state["size"] == 1


def test_what_is_no_place() -> None:
    with pytest.raises(ConfigError, match="name a folder"):
        destination_of("ftp://example.com", AuditSettings())
    with pytest.raises(ConfigError, match="names no bucket"):
        destination_of("s3:///prefix", AuditSettings())
