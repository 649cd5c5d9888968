"""Sending checkpoints away, without ever saying two things that contradict each other.

    PLACE/checkpoint                            the newest
    PLACE/checkpoints/00000000000000000042      each that was sent, by its size

What is there already is read first: a log that does not go on from it (a store that was restored from a backup, or
rewritten) is not sent, and whoever operates it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..core.errors import BadSignature, ConfigError, StoreCorrupt
from ..journal import AuditStore, KeptCheckpoint
from .checkpoints import Checkpoint, open_checkpoint
from .destinations import Place, Witness, WitnessBehind, WitnessRefused
from .log import consistency_proof, root_at
from .notes import Signature, SignedNote, VerifierKey

__all__ = ["NEWEST", "cosigned", "sent", "sized"]

NEWEST = "checkpoint"
TRIES = 3
"""A witness may see others' checkpoints of this log between two of our tries."""


def sized(size: int) -> str:
    """The name of a checkpoint that was sent, so that names sort as sizes do."""
    return f"checkpoints/{size:020}"


async def sent(store: AuditStore, place: Place, kept: KeptCheckpoint) -> None:
    """Send a checkpoint to a place. Raises `StoreCorrupt` where it contradicts what is there, `StoreUnavailable`."""
    ours = Checkpoint.parse(SignedNote.parse(kept.note).text)
    there = await asyncio.to_thread(place.get, NEWEST)
    if there is not None:
        theirs = _there(place, there)
        await _refuse_contradiction(store, place, theirs, ours)
        if theirs.size == ours.size and there == kept.note.encode():
            return
    await asyncio.to_thread(place.put, sized(ours.size), kept.note.encode())
    await asyncio.to_thread(place.put, NEWEST, kept.note.encode())
    await store.keep_checkpoint(kept.size, kept.note)


async def cosigned(
    store: AuditStore, witness: Witness, kept: KeptCheckpoint, *, old: int, keys: Sequence[VerifierKey] = ()
) -> tuple[Signature, ...]:
    """Have a checkpoint cosigned; `old`: the size that the witness has seen last, as far as known.

    With `keys` only their signatures are taken, and there must be one. Raises `StoreCorrupt` where the witness knows
    another log, `StoreUnavailable`.
    """
    note = SignedNote.parse(kept.note)
    for _ in range(TRIES):
        if old > kept.size:
            raise StoreCorrupt(
                f"`{witness.name}` has seen {old} leaves of the audit log, and there are {kept.size}: the log was cut; "
                "restore a newer backup"
            )
        proof = await consistency_proof(store, old, kept.size)
        try:
            found = await asyncio.to_thread(witness.add_checkpoint, old, proof, note)
        except WitnessBehind as error:
            old = error.size
            continue
        except WitnessRefused as error:
            if error.fork:
                raise StoreCorrupt(
                    f"{error}: the log was changed; `perdure audit verify` says more"
                ) from error
            raise
        taken = _trusted(witness, note, found, keys)
        await store.keep_checkpoint(kept.size, str(note.with_signatures(taken)))
        return taken
    raise WitnessRefused(f"`{witness.name}` has always seen another size than it says; trying again later")


def _trusted(
    witness: Witness, note: SignedNote, found: Sequence[Signature], keys: Sequence[VerifierKey]
) -> tuple[Signature, ...]:
    if not keys:
        return tuple(found)
    known = {(key.name, key.id): key for key in keys}
    taken = tuple(s for s in found if (s.name, s.id) in known)
    try:
        for signature in taken:
            known[signature.name, signature.id].check(note.text, signature.value)
    except BadSignature as error:
        raise WitnessRefused(f"`{witness.name}`: {error}") from error
    if not taken:
        by = ", ".join(f"{s.name}+{s.id.hex()}" for s in found)
        raise WitnessRefused(f"`{witness.name}` signs as {by}, which is not among `witnesses` of [audit]")
    return taken


def _there(place: Place, note: bytes) -> Checkpoint:
    try:
        return open_checkpoint(note).checkpoint
    except BadSignature as error:
        raise StoreCorrupt(
            f"what stands at `{place.name}/{NEWEST}` is no checkpoint ({error}); look who wrote it, then take it away"
        ) from error


async def _refuse_contradiction(
    store: AuditStore, place: Place, theirs: Checkpoint, ours: Checkpoint
) -> None:
    where = f"`{place.name}`"
    if theirs.origin != ours.origin:
        raise ConfigError(
            f"{where} holds checkpoints of the log `{theirs.origin}`, this is `{ours.origin}`: give each log a "
            "place of its own"
        )
    if theirs.size > ours.size:
        raise StoreCorrupt(
            f"{where} holds a checkpoint of {theirs.size} leaves, and the audit log has {ours.size}: it was cut; "
            "restore a newer backup"
        )
    if await root_at(store, theirs.size) != theirs.root:
        raise StoreCorrupt(
            f"{where} holds a checkpoint of {theirs.size} leaves that is not the beginning of this audit log: it was "
            "changed; `perdure audit verify` says more"
        )
