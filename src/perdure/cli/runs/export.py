"""`perdure runs export|verify`: a journal as a file that anybody can check."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ...core.errors import StoreCorrupt
from ..command import Cli, command
from ..complete import run_ids
from ..tree import runs
from .listing import RunId

if TYPE_CHECKING:
    from ...core.ids import RunRef
    from ...journal import RunRecord

__all__ = ["verify_run"]

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
    from ..display.follow import record_of

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
    from ...journal import export_header, write_export

    file.write(json.dumps(export_header(record)) + "\n")
    after = 0
    while after < record.head:
        page = await app.store.read(record.ref, after=after, limit=min(PAGE, record.head - after))
        if not page:
            raise StoreCorrupt(
                f"run `{record.ref}`: entries after {after} are missing; restore the store from a backup"
            )
        write_export(page, file)
        after = page[-1].seq


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
        from ..display.follow import record_of

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
    from ...journal import verify_export

    source = "standard input" if name == "-" else name
    with ExitStack() as closing:
        file = sys.stdin
        if name != "-":
            file = closing.enter_context(Path(name).open(encoding="utf-8", errors="surrogateescape"))
        return verify_export(file, source=source)


async def verify_run(app: Any, record: RunRecord) -> tuple[int, bytes]:
    """Verify the chain of a run in the store, page by page. Raises `StoreCorrupt` and `StoreTooNew`."""
    from ...journal import check_head, verify_chain

    seq, last = 0, None
    while seq < record.head:
        page = await app.store.read(record.ref, after=seq, limit=min(PAGE, record.head - seq))
        if not page:
            break
        seq, last = verify_chain(record.ref, page, after=seq, previous=last)
    check_head(record.ref, seq, last, record.head, record.head_hash.hex())
    assert last is not None
    return seq, last
