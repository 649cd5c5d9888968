"""A bundle: journals and their proofs in a folder, verified without the store that they come from.

    DIR/checkpoint                   the signed checkpoint that everything is proven under
    DIR/runs/TENANT/RUN.jsonl        the journal: an entry a line, bytes in base64
    DIR/proofs/TENANT/RUN.json       its proof
    DIR/consistency.json             optional: proofs that the log goes on from checkpoints held elsewhere

What else is in the folder is for people, and proves nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import pydantic_core

from ..core.errors import BadSignature, ConfigError, StoreCorrupt, StoreError, UnknownRun
from ..core.ids import RunRef, check_id
from ..journal import Entry
from .checkpoints import Checkpoint, OpenedCheckpoint, open_checkpoint
from .faults import Fault
from .notes import VerifierKey
from .proofs import Proof, prove_entries
from .tree import ProofFailed, verify_consistency

__all__ = [
    "BundleReport",
    "Consistency",
    "entry_json",
    "read_journal",
    "runs_of",
    "verify_bundle",
    "write_checkpoint",
    "write_run",
]

_BYTES = ("fingerprint", "salt", "payload", "hash")
MOST_LINE = 256 << 20


class Consistency(pydantic.BaseModel):
    """That the tree of `size` leaves begins with that of `old`."""

    old: int = pydantic.Field(ge=0)
    size: int = pydantic.Field(ge=0)
    path: list[pydantic.Base64Bytes] = pydantic.Field(max_length=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReport:
    """What a verification found."""

    checkpoint: OpenedCheckpoint
    runs: int = 0
    entries: int = 0
    unproven: int = 0
    """entries behind the last that the log had seen: the runs went on after it"""
    held: int = 0
    """checkpoints held elsewhere that agree"""
    faults: Sequence[Fault] = field(default_factory=list[Fault])
    """empty: everything is what was written"""


# writing -------------------------------------------------------------------------------------------------------


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as it stands in a bundle; what is sealed, for want of a key, as if it were erased."""
    entry = entry.without_payload() if entry.sealed else entry
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in zip(entry._fields, entry, strict=True)
    }


def write_checkpoint(folder: Path, note: str, consistency: Sequence[Consistency] = ()) -> None:
    """Begin a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint").write_text(note, encoding="utf-8")
    if consistency:
        told = [
            {"old": c.old, "size": c.size, "path": [base64.b64encode(h).decode() for h in c.path]}
            for c in consistency
        ]
        (folder / "consistency.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def write_run(folder: Path, ref: RunRef, entries: Iterable[Entry], proof: Proof) -> None:
    """Add a run. Its proof has to be under the bundle's checkpoint."""
    runs, proofs = folder / "runs" / ref.tenant, folder / "proofs" / ref.tenant
    for one in (runs, proofs):
        one.mkdir(parents=True, exist_ok=True)
    with (runs / f"{ref.id}.jsonl").open("w", encoding="utf-8") as file:
        for entry in entries:
            file.write(json.dumps(entry_json(entry)) + "\n")
    (proofs / f"{ref.id}.json").write_text(json.dumps(proof.to_json(), indent=1) + "\n", encoding="utf-8")


# reading -------------------------------------------------------------------------------------------------------


def runs_of(folder: Path) -> list[RunRef]:
    """The runs of a bundle, by name: those with a journal and those with a proof."""
    found: set[RunRef] = set()
    for part, suffix in (("runs", ".jsonl"), ("proofs", ".json")):
        for path in (folder / part).glob(f"*/*{suffix}"):
            found.add(RunRef(path.parent.name, path.name.removesuffix(suffix)))
    for ref in found:
        check_id(ref.tenant, what="a tenant")
        check_id(ref.id, what="a run")
    return sorted(found)


def read_journal(folder: Path, ref: RunRef) -> Iterator[Entry]:
    """The entries of a run, one line after the other. Raises `StoreCorrupt` that names run and line."""
    path = folder / "runs" / ref.tenant / f"{ref.id}.jsonl"
    try:
        with path.open("rb") as file:
            n = 0
            while line := file.readline(MOST_LINE):
                n += 1
                yield _entry(ref, n, line)
    except FileNotFoundError:
        raise StoreCorrupt(f"run `{ref}`: its journal `{path}` is missing") from None


def _entry(ref: RunRef, n: int, line: bytes) -> Entry:
    try:
        told: dict[str, Any] = pydantic_core.from_json(line)
        for name in _BYTES:
            told[name] = base64.b64decode(told[name], validate=True)
        entry = Entry(**{name: told[name] for name in Entry._fields})
        texts, numbers = (
            (entry.key, entry.actor),
            (entry.seq, entry.format, entry.kind, entry.codec, entry.epoch),
        )
        if not all(type(t) is str for t in texts) or not all(
            type(i) is int for i in (*numbers, entry.at, entry.took)
        ):
            raise TypeError("a field is of another type")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreCorrupt(f"run `{ref}`: line {n} of its journal is no entry: {error}") from error
    return entry


# verifying -----------------------------------------------------------------------------------------------------


def verify_bundle(
    folder: Path,
    keys: Sequence[VerifierKey],
    *,
    held: Sequence[str | bytes] = (),
    seen: Callable[[int, int], None] = lambda done, of: None,
) -> BundleReport:
    """Check every journal of a bundle, its proof, and who signed the checkpoint; needs no store and no network.

    `keys` are those that you trust, and `held` checkpoints that you have from elsewhere: one of the two has to be
    given. Raises `ConfigError` for a folder that is no bundle, and `BadSignature` where its checkpoint is none;
    everything else that is wrong is in the report.
    """
    if not keys and not held:
        raise ConfigError(
            "nothing says whose log this should be: give the key that you have from its owner (`--key`), or a "
            "checkpoint that you hold (`--checkpoint`)"
        )
    try:
        note = (folder / "checkpoint").read_bytes()
        refs = runs_of(folder)
    except OSError as error:
        raise ConfigError(
            f"`{folder}` is no bundle: its file `checkpoint` cannot be read ({error})"
        ) from error
    faults: list[Fault] = []
    opened = open_checkpoint(note)
    try:
        opened = open_checkpoint(note, keys)
    except BadSignature as error:
        faults.append(Fault(what="checkpoint", message=str(error)))
    agree = 0
    for other in held:
        try:
            _agrees(folder, opened.checkpoint, open_checkpoint(other, keys).checkpoint)
            agree += 1
        except (BadSignature, StoreCorrupt) as error:
            faults.append(Fault(what="checkpoint", message=str(error)))
    entries = unproven = 0
    if not refs:
        faults.append(Fault(what="run", message=f"`{folder}` holds no run"))
    for n, ref in enumerate(refs):
        seen(n, len(refs))
        try:
            count, proven = _verify_run(folder, ref, opened.checkpoint)
            entries += count
            unproven += count - proven
        except (StoreError, BadSignature, UnknownRun) as error:
            faults.append(Fault.of_run(ref, error))
    seen(len(refs), len(refs))
    return BundleReport(
        checkpoint=opened, runs=len(refs), entries=entries, unproven=unproven, held=agree, faults=faults
    )


def _verify_run(folder: Path, ref: RunRef, checkpoint: Checkpoint) -> tuple[int, int]:
    path = folder / "proofs" / ref.tenant / f"{ref.id}.json"
    try:
        proof = Proof.from_json(path.read_bytes(), where=f"`{path}`")
    except FileNotFoundError:
        raise ProofFailed(f"run `{ref}`: its proof `{path}` is missing") from None
    if open_checkpoint(proof.note).checkpoint != checkpoint:
        raise ProofFailed(f"run `{ref}`: its proof is under another checkpoint than the bundle's")
    run = proof.leaf.run
    if not _is_file_of(ref, run):
        raise ProofFailed(f"the proof is of run `{run}`, and not of `{ref}`")
    found = prove_entries(run, list(read_journal(folder, ref)), proof)
    return found.entries, found.seq


def _is_file_of(named: RunRef, run: RunRef) -> bool:
    """Whether files of that name are a run's: of `A` and `a`, where file names know no difference, one has a number."""
    name, _, number = named.id.rpartition("~")
    return named == run or (named.tenant == run.tenant and name == run.id and number.isdecimal())


def _agrees(folder: Path, ours: Checkpoint, theirs: Checkpoint) -> None:
    """Raises `StoreCorrupt` where nothing shows that the two are of one log."""
    if ours.origin != theirs.origin:
        raise StoreCorrupt(
            f"the checkpoint that you hold is of the log `{theirs.origin}`, the bundle's of `{ours.origin}`"
        )
    if ours.size == theirs.size:
        if ours.root != theirs.root:
            raise StoreCorrupt(
                f"the log was written anew: the checkpoint that you hold and the bundle's are both of {ours.size} "
                "heads, and contradict each other"
            )
        return
    old, new = sorted((ours, theirs), key=lambda c: c.size)
    for proof in _consistency(folder):
        if (proof.old, proof.size) == (old.size, new.size):
            verify_consistency(old.size, old.root, new.size, new.root, proof.path)
            return
    raise StoreCorrupt(
        f"nothing in the bundle shows that its checkpoint of {ours.size} heads and the one of {theirs.size} that you "
        "hold are of one log: ask for an export against that one (`perdure audit export --checkpoint FILE`)"
    )


def _consistency(folder: Path) -> list[Consistency]:
    try:
        return pydantic.TypeAdapter(list[Consistency]).validate_json(
            (folder / "consistency.json").read_bytes()
        )
    except FileNotFoundError:
        return []
    except (OSError, pydantic.ValidationError) as error:
        raise StoreCorrupt(f"the bundle's `consistency.json` cannot be read: {error}") from error
