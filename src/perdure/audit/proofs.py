"""The proof of one run: that its journal, up to one entry, is under a signed checkpoint. Checked without any store."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from ..core.errors import ConfigError, StoreCorrupt, StoreError
from ..core.ids import RunRef, check_id
from ..journal import AuditStore, Entry, KeptCheckpoint, Leaf, RunRecord, verify_chain
from .checkpoints import OpenedCheckpoint, open_checkpoint
from .log import inclusion_proof, newest_checkpoint
from .notes import VerifierKey
from .tree import ProofFailed, leaf_hash, verify_inclusion

__all__ = ["Proof", "Proven", "prove", "prove_entries", "verify_proof"]

FORMAT = 1


class _Proof(pydantic.BaseModel):
    """The JSON form. Bytes are in base64."""

    model_config = pydantic.ConfigDict(extra="ignore")

    format: int = pydantic.Field(ge=FORMAT, le=FORMAT)
    tenant: str
    run: str
    leaf: int = pydantic.Field(ge=0)
    seq: int = pydantic.Field(ge=1, lt=1 << 63)
    since: int = pydantic.Field(ge=0, lt=1 << 63)
    hash: pydantic.Base64Bytes
    path: list[pydantic.Base64Bytes] = pydantic.Field(max_length=64)
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What shows that a run's head is in the log."""

    leaf: Leaf
    path: Sequence[bytes]
    """from the leaf to the root of the checkpoint's tree"""
    note: str
    """the signed checkpoint"""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a file."""
        leaf = self.leaf
        return {
            "format": FORMAT,
            "tenant": leaf.run.tenant,
            "run": leaf.run.id,
            "leaf": leaf.n,
            "seq": leaf.seq,
            "since": leaf.since,
            "hash": _text(leaf.hash),
            "path": [_text(hash) for hash in self.path],
            "checkpoint": self.note,
        }

    @classmethod
    def from_json(cls, data: str | bytes | dict[str, Any], *, where: str = "this") -> Proof:
        """Read `to_json`, as a value or as text. Raises `ProofFailed`, which names `where`."""
        try:
            told = _Proof.model_validate(data) if isinstance(data, dict) else _Proof.model_validate_json(data)
            run = RunRef(check_id(told.tenant, what="a tenant"), check_id(told.run, what="a run"))
        except (pydantic.ValidationError, ConfigError) as error:
            raise ProofFailed(
                f"{where} is no proof of a run: {' '.join(str(error).split())[:300]}"
            ) from error
        leaf = Leaf(told.leaf, run, told.seq, told.since, told.hash)
        return cls(leaf=leaf, path=told.path, note=told.checkpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a proof has shown."""

    checkpoint: OpenedCheckpoint
    seq: int
    """up to this entry the journal is under the checkpoint"""
    entries: int
    """of the journal that was shown"""


async def prove(store: AuditStore, run: RunRecord, *, checkpoint: KeptCheckpoint | None = None) -> Proof:
    """The proof of a run's last head under a checkpoint, or under the newest.

    Raises `StoreError` where nothing was signed yet, or nothing of this run is under that checkpoint.
    """
    kept = checkpoint or await newest_checkpoint(store)
    if kept is None:
        raise StoreError(
            "the audit log has no signed checkpoint yet: `perdure audit init` makes the key, `perdure audit "
            "checkpoint` signs"
        )
    under = [leaf for _, leaf in await store.leaves_of([run.rid]) if leaf.n < kept.size]
    if not under:
        raise StoreError(
            f"nothing of run `{run.ref}` is under the checkpoint of {kept.size} heads; `perdure audit checkpoint` "
            "makes a new one"
        )
    path = await inclusion_proof(store, under[-1].n, kept.size)
    return Proof(leaf=under[-1], path=path, note=kept.note)


def verify_proof(proof: Proof, keys: Iterable[VerifierKey] = ()) -> OpenedCheckpoint:
    """Check that the leaf is under the checkpoint, and, where keys are given, who has signed that.

    Raises `ProofFailed`, `BadSignature`.
    """
    opened = open_checkpoint(proof.note, keys)
    told = opened.checkpoint
    verify_inclusion(leaf_hash(proof.leaf.data()), proof.leaf.n, told.size, proof.path, told.root)
    return opened


def prove_entries(
    ref: RunRef, entries: Sequence[Entry], proof: Proof, keys: Iterable[VerifierKey] = ()
) -> Proven:
    """Check a whole journal and its proof: each entry's hash, and that the proven head is one of them.

    Raises `StoreCorrupt` that names run and entry, `ProofFailed`, `BadSignature`.
    """
    leaf = proof.leaf
    if leaf.run != ref:
        raise ProofFailed(f"the proof is of run `{leaf.run}`, and not of `{ref}`")
    opened = verify_proof(proof, keys)
    count, _ = verify_chain(ref, entries)
    if leaf.seq > count:
        raise StoreCorrupt(
            f"run `{ref}`: the log has seen entry {leaf.seq} of it (leaf {leaf.n}), and its journal ends at entry "
            f"{count}: it was cut"
        )
    if entries[leaf.seq - 1].hash != leaf.hash:
        raise StoreCorrupt(
            f"run `{ref}`: entry {leaf.seq} is not the one that the log has seen (leaf {leaf.n}): the journal was "
            "written anew"
        )
    return Proven(checkpoint=opened, seq=leaf.seq, entries=count)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
