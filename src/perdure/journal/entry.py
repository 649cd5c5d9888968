"""One entry of a journal: its fields, its bytes, its hash.

The format is written down, with test vectors, in `docs/journal-format.md`. It is what cannot be changed
later: a new field means a new `FORMAT`, and readers refuse what they do not know.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from ..core.errors import StoreCorrupt, StoreTooNew
from ..core.ids import RunRef

__all__ = [
    "FORMAT",
    "Codec",
    "Entry",
    "Kind",
    "commitment",
    "entry_hash",
    "fingerprint",
    "genesis",
    "seal",
    "verify_chain",
]

FORMAT = 1
"""Version of the entry format written by this release; the first byte of every header."""


class Kind(enum.IntEnum):
    """What an entry says. Numbers are part of the format: never reuse one."""

    STARTED = 1
    """the run was accepted: agent, version, input, labels, deadline, parent"""
    CLAIMED = 2
    """a worker began a segment under a new epoch"""
    RESULT = 3
    """a step finished; the payload is what it returned"""
    FAILED = 4
    """a step raised; the payload is the error"""
    INTENT = 5
    """an `idempotent` or `write` effect is about to be tried"""
    UNKNOWN = 6
    """nobody knows whether the effect of the step happened"""
    SETTLED = 7
    """somebody found out: happened or did not, and who says so; a RESULT or a FAILED follows"""
    WAITING = 8
    """a step waits: for a timer, a signal, a human, a child, an answer in doubt"""
    MESSAGE = 9
    """a message to the run was taken from its inbox"""
    VALUE = 10
    """a recorded clock reading, random number or id"""
    DECISION = 11
    """options, the one taken, the reason, the confidence, what is not known"""
    PROGRESS = 12
    """what was done and what is left"""
    DRIFT = 13
    """the recorded answer was used though the prompt has changed since"""
    SUSPENDED = 14
    """the segment ended; the run waits, with its reasons"""
    MISMATCH = 15
    """replay asked for something else than was recorded; both sides are named"""
    ENDED = 16
    """the run ended: status, result or failure, undelivered messages"""


class Codec(enum.IntEnum):
    """How a payload's bytes are to be read."""

    NONE = 0
    JSON = 1


class Entry(NamedTuple):
    """One fact. Field order is the stores' column order, so an entry is bound as it stands."""

    seq: int
    format: int
    kind: int
    key: str
    at: int
    """microseconds since the Unix epoch, the writer's estimate of the store's time"""
    took: int
    """microseconds that the step took; 0 where it has no duration"""
    actor: str
    epoch: int
    codec: int
    fingerprint: bytes
    """keyed digest of what was asked (16 bytes), or empty"""
    salt: bytes
    payload: bytes
    hash: bytes


SALT_BYTES = 16
"""Fixed, so that no byte can pass from salt to payload under one hash."""

_pack = struct.Struct(">BBBQQQQH").pack
_LENGTH = [n.to_bytes(1) for n in range(256)]
_sha256 = hashlib.sha256


def genesis(ref: RunRef) -> bytes:
    """The hash before the first entry: it names the run, so that one journal cannot pass for another."""
    return _sha256(b"perdure journal 1\0" + ref.tenant.encode() + b"\0" + ref.id.encode()).digest()


def fingerprint(key: bytes, data: bytes) -> bytes:
    """Keyed digest of `data`: the first 16 bytes of HMAC-SHA-256. A plain hash of a guessable value is the value."""
    return hmac.digest(key, data, "sha256")[:16]


def commitment(salt: bytes, payload: bytes) -> bytes:
    """`H(salt ‖ payload)`: what the chain holds of a payload, so that it can be erased and the chain still verifies."""
    return _sha256(salt + payload).digest()


def entry_hash(
    previous: bytes,
    format: int,
    kind: int,
    codec: int,
    seq: int,
    epoch: int,
    at: int,
    took: int,
    key: str,
    actor: str,
    fingerprint: bytes,
    commit: bytes,
) -> bytes:
    """`H(previous ‖ header ‖ commitment)`; the arguments stand in the header's order (`docs/journal-format.md`)."""
    k = key.encode()
    a = actor.encode()
    header = _pack(format, kind, codec, seq, epoch, at, took, len(k)) + k + len(a).to_bytes(2) + a
    return _sha256(b"".join((previous, header, _LENGTH[len(fingerprint)], fingerprint, commit))).digest()


def seal(
    previous: bytes,
    kind: int,
    seq: int,
    epoch: int,
    at: int,
    took: int,
    key: str,
    actor: str,
    fingerprint: bytes,
    payload: bytes,
) -> Entry:
    """A new entry of this release's format, salted and chained to `previous`."""
    salt = os.urandom(SALT_BYTES)
    codec = 1 if payload else 0
    commit = _sha256(salt + payload).digest()
    chained = entry_hash(previous, FORMAT, kind, codec, seq, epoch, at, took, key, actor, fingerprint, commit)
    return Entry(seq, FORMAT, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, chained)


def verify_chain(
    ref: RunRef,
    entries: Iterable[Entry],
    *,
    after: int = 0,
    previous: bytes | None = None,
) -> tuple[int, bytes]:
    """Check sequence, format and hash of each entry; return the last `(seq, hash)`.

    Raises `StoreCorrupt`, naming run and entry, at the first that is not what was written, and `StoreTooNew`
    at one of a format or kind that this release does not know.
    """
    last = genesis(ref) if previous is None else previous
    seq = after
    for e in entries:
        seq += 1
        if e.seq != seq:
            raise StoreCorrupt(
                f"run `{ref}`: entry {seq} is missing (found entry {e.seq}); restore the store from a backup"
            )
        if e.format != FORMAT:
            raise StoreTooNew(_too_new(ref, e))
        try:
            last = entry_hash(
                last,
                e.format,
                e.kind,
                e.codec,
                e.seq,
                e.epoch,
                e.at,
                e.took,
                e.key,
                e.actor,
                e.fingerprint,
                commitment(e.salt, e.payload),
            )
        except (ValueError, OverflowError, IndexError, TypeError, struct.error) as error:
            raise StoreCorrupt(_corrupt(ref, e)) from error  # a field that cannot even stand in a header
        if last != e.hash or len(e.salt) != SALT_BYTES:
            raise StoreCorrupt(_corrupt(ref, e))
        if e.kind not in _KINDS or e.codec not in _CODECS:
            raise StoreTooNew(_too_new(ref, e))
    return seq, last


def _corrupt(ref: RunRef, e: Entry) -> str:
    name = e.key or (Kind(e.kind).name.lower() if e.kind in _KINDS else f"kind {e.kind}")
    return (
        f"run `{ref}`: entry {e.seq} (`{name[:80]}`) is not what was written: its hash does not fit; nothing was "
        "built on it. Restore the store from a backup"
    )


def _too_new(ref: RunRef, e: Entry) -> str:
    return (
        f"run `{ref}`: entry {e.seq} has format {e.format}, kind {e.kind}, codec {e.codec}, which this release does "
        "not know; it was written by a newer one: upgrade this worker"
    )


_KINDS = frozenset(int(k) for k in Kind)
_CODECS = frozenset(int(c) for c in Codec)
