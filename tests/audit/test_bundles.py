"""A bundle is verified by itself, with a key or a checkpoint from elsewhere; whatever is changed in it is named."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.audit import (
    Proof,
    ProofFailed,
    Signer,
    consistency_proof,
    newest_checkpoint,
    prove,
    verify_bundle,
    verify_proof,
)
from perdure.audit.bundles import Consistency, entry_json, write_checkpoint, write_run
from perdure.core.errors import BadSignature, ConfigError, StoreError
from perdure.core.ids import RunRef
from perdure.db.memory import MemoryStore
from perdure.engines.sequencer import Sequencer
from perdure.testing.conformance._scene import claimed, record_of, run_ref, started
from perdure.testing.journals import JournalBuilder

LOG = Signer.new("example.com/audit")
RUNS = (run_ref("a"), run_ref("b"), run_ref("b", tenant="other"))


async def bundle(folder: Path) -> bytes:
    """Three runs under a checkpoint; an older checkpoint that was sent away."""
    store = MemoryStore()
    await store.open()
    sequencer = Sequencer(store, LOG)
    await started(store, "before")
    await sequencer.catch_up()
    older = await newest_checkpoint(store)
    assert older is not None
    for ref in RUNS:
        run = (await claimed(store, ref.id, tenant=ref.tenant)).run
        await store.append(JournalBuilder.of(run).append(b'"paid 10"', b"\0\xff"))
    await sequencer.catch_up()
    kept = await newest_checkpoint(store)
    assert kept is not None
    path = await consistency_proof(store, older.size, kept.size)
    write_checkpoint(
        folder, kept.note, [Consistency.model_construct(old=older.size, size=kept.size, path=path)]
    )
    for ref in RUNS:
        record = await record_of(store, ref.id, tenant=ref.tenant)
        write_run(folder, ref, await store.read(ref), await prove(store, record))
    return older.note.encode()


def keys(signer: Signer = LOG) -> list:  # type: ignore[type-arg]
    return [signer.verifier]


async def test_a_bundle_is_sound(tmp_path: Path) -> None:
    held = await bundle(tmp_path)
    report = verify_bundle(tmp_path, keys(), held=[held, (tmp_path / "checkpoint").read_bytes()])
    assert not report.faults
    assert (report.runs, report.entries, report.unproven, report.held) == (3, 9, 0, 2)
    assert [by.name for by in report.checkpoint.signed_by] == ["example.com/audit"]
    assert not verify_bundle(tmp_path, [], held=[held]).faults, "a checkpoint that one holds is enough"


async def test_a_bundle_does_not_vouch_for_itself(tmp_path: Path) -> None:
    await bundle(tmp_path)
    with pytest.raises(ConfigError, match="nothing says whose log"):
        verify_bundle(tmp_path, [])
    with pytest.raises(ConfigError, match="no bundle"):
        verify_bundle(tmp_path / "nowhere", keys())


async def test_entries_that_came_later_are_counted_as_unproven(tmp_path: Path) -> None:
    await bundle(tmp_path)
    path = tmp_path / "runs" / "default" / "a.jsonl"
    last = json.loads(path.read_text().splitlines()[-1])
    builder = JournalBuilder(run_ref("a"), head=last["seq"], last=base64.b64decode(last["hash"]))
    with path.open("a") as file:
        file.write(json.dumps(entry_json(builder.entry(payload=b"1"))) + "\n")
    report = verify_bundle(tmp_path, keys())
    assert not report.faults and report.unproven == 1


def change(path: str, before: str, after: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / path
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after, 1))

    return apply


def without(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).unlink()


def swapped(folder: Path) -> None:
    a, b = (folder / "proofs" / "default" / f"{n}.json" for n in "ab")
    one, other = a.read_text(), b.read_text()
    a.write_text(other)
    b.write_text(one)


def cut(folder: Path) -> None:
    file = folder / "runs" / "default" / "a.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


def anew(folder: Path) -> None:
    """The journal of `a`, with another payload and hashes that fit."""
    builder = JournalBuilder(run_ref("a"))
    file = folder / "runs" / "default" / "a.jsonl"
    lines = [json.dumps(entry_json(builder.entry(payload=p))) for p in (b"{}", b'"paid 99"', b"1")]
    file.write_text("\n".join(lines) + "\n")


def empty(folder: Path) -> None:
    for file in [*folder.glob("runs/*/*"), *folder.glob("proofs/*/*")]:
        file.unlink()


BENT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a payload": (
        change("runs/default/a.jsonl", '"payload": "InBhaWQgMTAi"', '"payload": "InBhaWQgOTAi"'),
        r"run `a`: entry 2",
    ),
    "an actor": (change("runs/other/b.jsonl", "tester", "hacker"), r"run `other:b`: entry 1"),
    "the end cut off": (cut, r"run `a`: the log has seen entry 3 .* ends at entry 2: it was cut"),
    "a journal written anew": (anew, r"run `a`: entry 3 is not the one that the log has seen"),
    "a journal gone": (without("runs/default/b.jsonl"), r"run `b`: its journal .* is missing"),
    "a proof gone": (without("proofs/other/b.json"), r"run `other:b`: its proof .* is missing"),
    "proofs swapped": (swapped, r"the proof is of run `b`, and not of `a`"),
    "no JSON": (change("runs/default/a.jsonl", "{", "["), r"run `a`: line 1 of its journal is no entry"),
    "a number as text": (change("runs/default/a.jsonl", '"took": 0', '"took": "0"'), r"run `a`: line 1"),
    "no proof": (change("proofs/default/a.json", '"leaf"', '"leef"'), r"is no proof of a run"),
    "another place": (change("proofs/default/a.json", '"leaf": 1', '"leaf": 2'), r"leaf 2"),
    "another head before": (
        change("proofs/default/a.json", '"since": 0', '"since": 1'),
        r"leaf 1 is not what stands",
    ),
    "another checkpoint in a proof": (
        change("proofs/default/a.json", "audit\\n4\\n", "audit\\n5\\n"),
        r"under another checkpoint",
    ),
    "the checkpoint": (change("checkpoint", "\n4\n", "\n5\n"), r"signature .* does not fit"),
    "nothing in it": (empty, r"holds no run"),
}


@pytest.mark.parametrize("how", BENT)
async def test_whatever_is_changed_in_a_bundle(tmp_path: Path, how: str) -> None:
    await bundle(tmp_path)
    bend, expected = BENT[how]
    bend(tmp_path)
    report = verify_bundle(tmp_path, keys())
    assert re.search(expected, " | ".join(f.message for f in report.faults)), report.faults


async def test_another_key_and_another_log(tmp_path: Path) -> None:
    await bundle(tmp_path / "ours")
    thief = Signer.new("example.com/audit")
    assert "signed by" in verify_bundle(tmp_path / "ours", keys(thief)).faults[0].message
    other = await bundle(tmp_path / "theirs")  # other salts: other heads
    for held in ((tmp_path / "theirs" / "checkpoint").read_bytes(), other):
        (fault,) = verify_bundle(tmp_path / "ours", keys(), held=[held]).faults
        assert "written anew" in fault.message or "does not begin with" in fault.message
    (tmp_path / "ours" / "consistency.json").unlink()
    (fault,) = verify_bundle(tmp_path / "ours", keys(), held=[other]).faults
    assert "nothing in the bundle shows" in fault.message


async def test_a_proof_by_itself(tmp_path: Path) -> None:
    await bundle(tmp_path)
    text = (tmp_path / "proofs" / "other" / "b.json").read_text()
    proof = Proof.from_json(text)
    assert proof.leaf.run == RunRef("other", "b") and Proof.from_json(proof.to_json()) == proof
    assert verify_proof(proof, keys()).checkpoint.size == 4
    with pytest.raises(BadSignature):
        verify_proof(proof, keys(Signer.new("example.com/audit")))
    with pytest.raises(ProofFailed, match="no proof"):
        Proof.from_json('{"format": 2}')


async def test_where_file_names_know_no_difference_a_number_is_no_other_run(tmp_path: Path) -> None:
    await bundle(tmp_path)
    for part, suffix in (("runs", "jsonl"), ("proofs", "json")):
        folder = tmp_path / part / "default"
        (folder / f"a.{suffix}").rename(folder / f"a~2.{suffix}")
    assert not verify_bundle(tmp_path, keys()).faults
    for part, suffix in (("runs", "jsonl"), ("proofs", "json")):
        folder = tmp_path / part / "default"
        (folder / f"a~2.{suffix}").rename(folder / f"c.{suffix}")
    (fault,) = verify_bundle(tmp_path, keys()).faults
    assert fault.message == "the proof is of run `a`, and not of `c`"


async def test_what_is_not_in_the_log_yet_has_no_proof() -> None:
    store = MemoryStore()
    await store.open()
    run = await started(store)
    with pytest.raises(StoreError, match="no signed checkpoint yet"):
        await prove(store, run)
    await Sequencer(store, LOG).catch_up()
    later = await started(store, "later")
    with pytest.raises(StoreError, match="nothing of run `later`"):
        await prove(store, later)


async def test_neither_store_nor_app_is_needed(tmp_path: Path) -> None:
    """The command that verifies a bundle imports neither, so that it trusts neither."""
    await bundle(tmp_path)
    code = (
        "import sys; from perdure.cli import main; sys.argv = sys.argv[1:]\n"
        "try: main()\n"
        "finally:\n"
        "    bad = [m for m in sys.modules if m.startswith(('perdure.app', 'perdure.db', 'perdure.runtime', 'apsw'))]\n"
        "    assert not bad, bad\n"
    )
    arguments = [
        "perdure",
        "audit",
        "verify",
        "--export",
        str(tmp_path),
        "--key",
        str(LOG.verifier),
        "--json",
    ]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sound"] is True
