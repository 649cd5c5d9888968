"""A journal as JSON lines, which anybody can read and verify: a header, then a line for each entry.

    {"perdure_export": 1, "format": 1, "tenant": …, "run": …, "entries": 7, "head_hash": "…", …}
    {"seq": 1, "format": 1, "kind": 1, "name": "started", "key": "", "at": …, "salt": "…", "hash": "…", …}

A payload is its text where it is UTF-8, else hexadecimal: never parsed, its bytes count. `docs/audit.md` says more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from ..core.errors import ConfigError, StoreCorrupt
from ..core.ids import RunRef
from .entry import FORMAT, Entry, Kind, verify_chain
from .store import RunRecord

__all__ = [
    "EXPORT",
    "check_head",
    "export_header",
    "kind_name",
    "read_export",
    "verify_export",
    "write_export",
]

EXPORT = 1
"""Version of the file's form."""

_NAMES = {int(kind): kind.name.lower() for kind in Kind}
_PLAIN = ("seq", "format", "kind", "key", "at", "took", "actor", "epoch", "codec")


def kind_name(entry: Entry) -> str:
    """The name of the entry's kind; its number where this release does not know it."""
    return _NAMES.get(entry.kind, str(entry.kind))


def export_header(record: RunRecord) -> dict[str, Any]:
    """The first line: which run, and where its chain ends."""
    return {
        "perdure_export": EXPORT,
        "format": FORMAT,
        "tenant": record.ref.tenant,
        "run": record.ref.id,
        "agent": record.agent,
        "version": record.version,
        "status": record.status.value,
        "entries": record.head,
        "head_hash": record.head_hash.hex(),
    }


def write_export(entries: Iterable[Entry], file: TextIO) -> None:
    """Entries as lines. What is sealed, for want of a key, is written as if it were erased: its chain verifies."""
    for entry in entries:
        e = entry.without_payload() if entry.sealed else entry
        line: dict[str, Any] = {
            "seq": e.seq,
            "format": e.format,
            "kind": e.kind,
            "name": kind_name(e),
            "key": e.key,
            "at": e.at,
            "took": e.took,
            "actor": e.actor,
            "epoch": e.epoch,
            "codec": e.codec,
            "fingerprint": e.fingerprint.hex(),
            "salt": e.salt.hex(),
            "hash": e.hash.hex(),
        }
        try:
            line["payload"] = e.payload.decode()
        except UnicodeDecodeError:
            line["payload_hex"] = e.payload.hex()
        file.write(json.dumps(line) + "\n")


def read_export(lines: Iterable[str], *, source: str) -> tuple[dict[str, Any], Iterator[Entry]]:
    """The header of an export, and its entries as they are read. Raises `ConfigError` and `StoreCorrupt`."""
    rest = iter(lines)
    try:
        head: dict[str, Any] = json.loads(next(rest, ""))
        version = head["perdure_export"]
        RunRef(head["tenant"], head["run"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"`{source}` is not an export of a run: its first line is no header") from None
    if version != EXPORT:
        raise ConfigError(
            f"`{source}` has the export version {version}; this release reads {EXPORT}: upgrade it"
        )
    return head, (_entry(line, n, source) for n, line in enumerate(rest, 2) if line.strip())


def _entry(line: str, number: int, source: str) -> Entry:
    try:
        e: dict[str, Any] = json.loads(line)
        payload = bytes.fromhex(e["payload_hex"]) if "payload_hex" in e else e["payload"].encode()
        plain = {name: e[name] for name in _PLAIN}
        return Entry(
            **plain,
            fingerprint=bytes.fromhex(e["fingerprint"]),
            salt=bytes.fromhex(e["salt"]),
            payload=payload,
            hash=bytes.fromhex(e["hash"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreCorrupt(f"`{source}` line {number} is not an entry") from None


def verify_export(lines: Iterable[str], *, source: str) -> tuple[RunRef, int, bytes]:
    """Recompute the chain of an export: the run, its last entry's number and hash.

    Raises `ConfigError`, `StoreTooNew`, and `StoreCorrupt` where it is not what was written.
    """
    head, entries = read_export(lines, source=source)
    ref = RunRef(head["tenant"], head["run"])
    try:
        seq, last = verify_chain(ref, entries)
    except (TypeError, ValueError, OverflowError, struct.error) as error:
        raise StoreCorrupt(f"`{source}` holds an entry of another form: {error}") from None
    check_head(ref, seq, last, head.get("entries"), head.get("head_hash"))
    return ref, seq, last


def check_head(ref: RunRef, seq: int, last: bytes | None, entries: object, head: object) -> None:
    """Raise `StoreCorrupt` where a journal does not end as it should."""
    if seq != entries or (last or b"").hex() != head:
        raise StoreCorrupt(
            f"run `{ref}`: its journal ends at entry {seq} and should end at entry {entries} with another hash; it was "
            "cut or changed"
        )
