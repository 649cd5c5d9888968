"""`perdure runs export|verify`: a journal as a file that anybody can check."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from ..core.errors import ConfigError, StoreCorrupt
from ..core.ids import RunRef
from ..journal import FORMAT, Entry, RunRecord, verify_chain
from .command import Cli, command
from .complete import run_ids
from .runs import RunId
from .tree import runs

__all__ = ["EXPORT", "header", "read_export", "verify_run", "write_export"]

EXPORT = 1
"""Version of the file's form: a header line, then a line for each entry."""

PAGE = 500


@command(runs, "export")
async def export(
    cli: Cli,
    run: RunId,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; stdout if not given.")
    ] = None,
) -> None:
    """Write a run's whole journal as JSON lines, with what is needed to verify it."""
    from .follow import record_of

    async with cli.opened() as app:
        record = await record_of(app, run)
        if out is None:
            await _pages(app, record, sys.stdout)
            return
        with out.open("w", encoding="utf-8") as file:
            await _pages(app, record, file)
    cli.done(
        f"{record.head} entries of {record.ref} in {out}",
        {"run": run, "entries": record.head, "file": str(out)},
    )


async def _pages(app: Any, record: RunRecord, file: TextIO) -> None:
    file.write(json.dumps(header(record)) + "\n")
    after = 0
    while after < record.head:
        page = await app.store.read(record.ref, after=after, limit=min(PAGE, record.head - after))
        if not page:
            raise StoreCorrupt(
                f"run `{record.ref}`: entries after {after} are missing; restore the store from a backup"
            )
        write_export(page, file)
        after = page[-1].seq


def header(record: RunRecord) -> dict[str, Any]:
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
    """Entries as lines. A payload is its text where it is UTF-8, else hexadecimal: never parsed, its bytes count."""
    from .story import kind_name

    for e in entries:
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


_PLAIN = ("seq", "format", "kind", "key", "at", "took", "actor", "epoch", "codec")


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


@command(runs, "verify")
async def verify(
    cli: Cli,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RUN", help="An export, - for one on stdin, or a run.", autocompletion=run_ids
        ),
    ],
) -> None:
    """Recompute the hash chain of an export or of a run; exit 3 where it is not what was written."""
    if what == "-" or _is_file(what):
        ref, seq, last = _verify_file(what)
    else:
        from .follow import record_of

        async with cli.opened() as app:
            record = await record_of(app, what)
            seq, last = await verify_run(app, record)
            ref = record.ref
    cli.done(
        f"{ref}: {seq} entries, the chain holds; its head is {last.hex()}",
        {"run": ref.id, "tenant": ref.tenant, "entries": seq, "head_hash": last.hex(), "ok": True},
    )


def _is_file(name: str) -> bool:
    return Path(name).is_file()


def _verify_file(name: str) -> tuple[RunRef, int, bytes]:
    source = "standard input" if name == "-" else name
    with ExitStack() as closing:
        file = sys.stdin
        if name != "-":
            file = closing.enter_context(Path(name).open(encoding="utf-8", errors="surrogateescape"))
        head, entries = read_export(file, source=source)
        ref = RunRef(head["tenant"], head["run"])
        try:
            seq, last = verify_chain(ref, entries)
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise StoreCorrupt(f"`{source}` holds an entry of another form: {error}") from None
    _compare(ref, seq, last.hex(), head.get("entries"), head.get("head_hash"))
    return ref, seq, last


async def verify_run(app: Any, record: RunRecord) -> tuple[int, bytes]:
    """Verify the chain of a run in the store, page by page. Raises `StoreCorrupt` and `StoreTooNew`."""
    seq, last = 0, None
    while seq < record.head:
        page = await app.store.read(record.ref, after=seq, limit=min(PAGE, record.head - seq))
        if not page:
            break
        seq, last = verify_chain(record.ref, page, after=seq, previous=last)
    _compare(record.ref, seq, (last or b"").hex(), record.head, record.head_hash.hex())
    assert last is not None
    return seq, last


def _compare(ref: RunRef, seq: int, last: str, entries: object, head: object) -> None:
    if seq != entries or last != head:
        raise StoreCorrupt(
            f"run `{ref}`: its journal ends at entry {seq} and should end at entry {entries} with another hash; it was "
            "cut or changed"
        )
