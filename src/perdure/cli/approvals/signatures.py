"""`perdure approvals verify`: the signatures of a run's answers, looked at again, also without the store."""

from __future__ import annotations

import struct
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import StoreCorrupt
from ..command import Cli, command
from ..complete import run_ids
from ..outcome import Exit
from ..tree import approvals

if TYPE_CHECKING:
    from ...audit import VerifiedAnswer
    from ...core.ids import RunRef
    from ...journal import Entry

__all__: list[str] = []

_STYLES = {"good": "green", "bad": "bold red", "unknown": "yellow", "none": "yellow", "erased": "yellow"}


@command(approvals, "verify")
async def verify(
    cli: Cli,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RUN", help="An export, - for one on stdin, or a run.", autocompletion=run_ids
        ),
    ],
) -> int:
    """Check who has signed what in a run, by the keys in perdure.toml; exit 1 where a signature is bad."""
    from ...audit import verify_answers

    if _is_export(what):
        ref, entries = _exported(what)
    else:
        from ..display.follow import record_of
        from ..runs.export import verify_run

        async with cli.opened() as app:
            record = await record_of(app, what)
            await verify_run(app, record)
            ref, entries = record.ref, await app.store.read(record.ref)
    found = verify_answers(ref, entries, cli.settings.approvals)
    bad = any(answer.signature == "bad" for answer in found)
    if cli.json:
        told = [asdict(answer) for answer in found]
        cli.answer({"run": ref.id, "tenant": ref.tenant, "ok": not bad, "answers": told})
    else:
        _print(cli, ref, found)
    return Exit.NOT_SO if bad else Exit.OK


def _is_export(name: str) -> bool:
    return name == "-" or Path(name).is_file()


def _exported(name: str) -> tuple[RunRef, list[Entry]]:
    from ...core.ids import RunRef
    from ...journal import check_head, read_export, verify_chain

    source = "standard input" if name == "-" else name
    with ExitStack() as closing:
        file = sys.stdin
        if name != "-":
            file = closing.enter_context(Path(name).open(encoding="utf-8", errors="surrogateescape"))
        head, read = read_export(file, source=source)
        entries = list(read)
    ref = RunRef(head["tenant"], head["run"])
    try:
        seq, last = verify_chain(ref, entries)
    except (TypeError, ValueError, OverflowError, struct.error) as error:
        raise StoreCorrupt(f"`{source}` holds an entry of another form: {error}") from None
    check_head(ref, seq, last, head.get("entries"), head.get("head_hash"))
    return ref, entries


def _print(cli: Cli, ref: RunRef, found: list[VerifiedAnswer]) -> None:
    from rich.text import Text

    from ...views.words import one_line

    if not found:
        cli.note(f"{ref}: nobody has answered a question about a call")
    for answer in found:
        key = f" by key {answer.key[:12]}" if answer.key else ""
        why = f": {one_line(answer.why)}" if answer.why else ""
        said = f"  {answer.step}: {answer.by} said {answer.decision} to {answer.tool}{key}{why}"
        cli.out.print(
            Text.assemble((f"{answer.signature:<8}", _STYLES[answer.signature]), one_line(said)),
            soft_wrap=True,
        )
