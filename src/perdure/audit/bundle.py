"""The bundle that an auditor takes away: journals, questions and calls, what was in force, a page to read, a manifest.

    manifest.json        what is in it: each run with its head, each file with its SHA-256
    index.html           to read first; pages/RUN/index.html: each run in time
    runs/TENANT/RUN.jsonl, facts/RUN.jsonl   every entry as it is, and what it says
    calls.jsonl, approvals.jsonl, credentials.jsonl, in-force.jsonl
    checkpoint, proofs/TENANT/RUN.json       where there is an audit log: what `perdure audit verify` checks
    schema.json, verify.py, README.txt       what it means, and how to check it without Perdure

It is written from one tenant's runs, one run at a time, into a folder that no one else can read.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ..core.errors import StoreCorrupt, StoreError
from ..core.ids import RunRef
from ..journal import Entry, KeptCheckpoint, Kind, RunRecord, Store, genesis, verify_chain
from .bundles import Consistency, entry_json, write_checkpoint
from .deeds import Deeds
from .fact import Fact, iso
from .facts import Facts
from .pages import Pages, RunPage
from .proofs import Proof, prove
from .search import Selection, journal_of, runs_of

__all__ = ["BUNDLE", "Bundle", "RunTold", "write_bundle", "zipped"]

BUNDLE = 1
"""Version of the bundle's form."""

BATCH = 500
"""Entries that are verified and written together."""


@dataclass(slots=True, kw_only=True)
class RunTold:
    """What the bundle's first page says of a run."""

    record: RunRecord
    name: str
    """of its files"""
    behalf: str | None = None
    began: int = 0
    last: int = 0
    calls: int = 0
    questions: int = 0
    facts: int = 0
    erased: int = 0
    broken: str | None = None
    """what is wrong with its chain; None: it holds"""
    proven: bool = False

    @property
    def page(self) -> str:
        """Its page's folder."""
        return f"pages/{self.name}"

    @property
    def journal(self) -> str:
        """The file with its entries."""
        return f"runs/{self.record.ref.tenant}/{self.name}.jsonl"

    @property
    def facts_file(self) -> str:
        """The file with its facts."""
        return f"facts/{self.name}.jsonl"

    @property
    def proof(self) -> str:
        """The file with its proof."""
        return f"proofs/{self.record.ref.tenant}/{self.name}.json"

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        record = self.record
        return {
            "run": record.ref.id,
            "journal": self.journal,
            "proof": self.proof if self.proven else None,
            "page": f"{self.page}/index.html",
            "agent": record.agent,
            "version": record.version,
            "on_behalf_of": self.behalf,
            "status": record.status.value,
            "entries": record.head,
            "head_hash": record.head_hash.hex(),
            "chain": "holds" if self.broken is None else self.broken,
            "erased_entries": self.erased,
            "began_at": iso(self.began),
            "last_at": iso(self.last),
        }


@dataclass(slots=True, kw_only=True)
class Bundle:
    """A bundle that was written."""

    folder: Path
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    digest: str = ""
    """SHA-256 of manifest.json: with it the whole bundle is named; keep it elsewhere"""
    runs: int = 0
    entries: int = 0
    broken: list[str] = field(default_factory=list[str])
    """runs whose chain does not hold"""


class _Beside(NamedTuple):
    """Files to which every run adds."""

    in_force: TextIO
    credentials: TextIO


async def write_bundle(
    store: Store,
    wanted: Selection,
    folder: Path,
    *,
    made_by: str,
    checkpoint: KeptCheckpoint | None = None,
    consistency: Sequence[Consistency] = (),
    looked: Callable[[int], None] = lambda runs: None,
) -> Bundle:
    """Write the bundle of the runs that are meant into an empty folder. `made_by` names who asks, for the manifest.

    With a `checkpoint` of the audit log, each run's proof under it; `consistency`: that the log goes on from others.
    """
    told: list[RunTold] = []
    bundle = Bundle(folder=folder)
    with ExitStack() as closing:
        pages = Pages(folder)

        def file(name: str) -> TextIO:
            return closing.enter_context((folder / name).open("w", encoding="utf-8"))

        calls, approvals = file("calls.jsonl"), file("approvals.jsonl")
        beside = _Beside(file("in-force.jsonl"), file("credentials.jsonl"))
        async for page in runs_of(store, wanted, looked=looked):
            for record in page:
                run = RunTold(record=record, name=_name(record.ref, folder))
                for name in (run.page, f"runs/{wanted.tenant}", f"proofs/{wanted.tenant}", "facts"):
                    (folder / name).mkdir(parents=True, exist_ok=True)
                deeds = Deeds()
                with pages.run(run) as shown:
                    await _write_run(store, run, folder, deeds, shown, beside)
                    for deed in deeds.done:
                        _line(calls, deed.to_json())
                    for asked in deeds.enquiries:
                        _line(approvals, asked.to_json())
                    run.calls = sum(1 for deed in deeds.done if deed.effect != "read")
                    run.questions = len(deeds.enquiries)
                    proof = None if checkpoint is None else await _proof(store, record, checkpoint)
                    if proof is not None:
                        run.proven = True
                        told_proof = json.dumps(proof.to_json(), indent=1) + "\n"
                        (folder / run.proof).write_text(told_proof, encoding="utf-8")
                    shown.end(deeds)
                pages.add(run, deeds)
                told.append(run)
    if checkpoint is not None:
        write_checkpoint(folder, checkpoint.note, consistency)
    bundle.runs, bundle.entries = len(told), sum(run.record.head for run in told)
    bundle.broken = [run.record.ref.id for run in told if run.broken is not None]
    made_at = iso(store.now())
    pages.index(
        told, wanted, made_at=str(made_at), made_by=made_by, checkpoint=checkpoint and checkpoint.note
    )
    for name, source in (
        ("verify.py", "verify.py.txt"),
        ("README.txt", "README.txt"),
        ("schema.json", "schema.json"),
    ):
        (folder / name).write_text(_packaged(source), encoding="utf-8")
    bundle.manifest = {
        "perdure_bundle": BUNDLE,
        "made_at": made_at,
        "made_by": made_by,
        "tenant": wanted.tenant,
        "selection": wanted.to_json(),
        "runs": [run.to_json() for run in told],
        "files": {name: _digested(folder / name) for name in _names_in(folder)},
    }
    data = json.dumps(bundle.manifest, indent=1).encode()
    (folder / "manifest.json").write_bytes(data)
    bundle.digest = hashlib.sha256(data).hexdigest()
    return bundle


async def _write_run(
    store: Store, run: RunTold, folder: Path, deeds: Deeds, shown: RunPage, beside: _Beside
) -> None:
    """One run's journal and facts, and what its page says."""
    record = run.record
    facts = Facts.of(record)
    seq, last = 0, genesis(record.ref)
    with (
        (folder / run.journal).open("x", encoding="utf-8") as journal,
        (folder / run.facts_file).open("x", encoding="utf-8") as told,
    ):
        async for entries in _batches(store, record):
            try:
                journal.writelines(json.dumps(entry_json(entry)) + "\n" for entry in entries)
            except (
                AttributeError,
                TypeError,
                ValueError,
            ):  # somebody has written into the store, beside Perdure
                run.broken = (
                    f"after entry {entries[0].seq - 1} there is one that holds a field of another type"
                )
                break
            if run.broken is None:
                try:
                    seq, last = verify_chain(record.ref, entries, after=seq, previous=last)
                except StoreError as error:
                    run.broken = str(error)
            for entry in entries:
                fact = facts.see(entry)
                deeds.see(entry, fact)
                _line(told, fact.to_json())
                _in_force(beside.in_force, entry.kind, fact)
                if fact.what == "credential.granted":
                    _line(beside.credentials, fact.to_json(contents=False))
                shown.add(fact)
                run.began, run.last = run.began or fact.at, fact.at
                run.behalf, run.facts = fact.behalf or run.behalf, run.facts + 1
                run.erased += fact.erased
    if run.broken is None and (seq, last) != (record.head, record.head_hash):
        run.broken = f"it ends at entry {seq}, and should end at entry {record.head}: it was cut or changed"


async def _batches(store: Store, record: RunRecord) -> AsyncIterator[list[Entry]]:
    batch: list[Entry] = []
    async for entry in journal_of(store, record):
        batch.append(entry)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _in_force(file: TextIO, kind: int, fact: Fact) -> None:
    """What decided the run's behaviour from an entry on, as far as it was recorded."""
    if kind not in (Kind.STARTED, Kind.CLAIMED, Kind.CONTINUED):
        return
    behaviour = fact.details.get("behaviour")
    told = {
        "run": fact.ref.id,
        "entry": fact.seq,
        "at": iso(fact.at),
        "agent": fact.agent,
        "version": fact.version,
        "behaviour": behaviour,
        "policies": fact.details.get("policies"),
        "budget": fact.details.get("budget"),
        "needs": fact.details.get("needs"),
    }
    _line(file, {name: value for name, value in told.items() if value is not None})


def _line(file: TextIO, value: dict[str, Any]) -> None:
    file.write(json.dumps(value, default=repr) + "\n")


def _name(run: RunRef, folder: Path) -> str:
    """A name for a run's files: its id, but where file names know no difference between `A` and `a`."""
    name, n = run.id, 1
    while (folder / "facts" / f"{name}.jsonl").exists():
        n += 1
        name = f"{run.id}~{n}"
    return name


async def _proof(store: Store, record: RunRecord, checkpoint: KeptCheckpoint) -> Proof | None:
    """The proof of the run's newest head under the checkpoint; None: the log has not seen it yet."""
    try:
        return await prove(store, record, checkpoint=checkpoint)
    except StoreCorrupt:
        raise
    except StoreError:
        return None


def _names_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _digested(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _packaged(name: str) -> str:
    return files("perdure.audit").joinpath("templates", name).read_text(encoding="utf-8")


def zipped(folder: Path, target: Path) -> None:
    """Put a bundle into one file."""
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in _names_in(folder):
            archive.write(folder / name, name)
