"""`perdure audit erase`: a person's data goes, and the proof of what was done stays."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import audit

if TYPE_CHECKING:
    from ...app.erasure import Erasable, Erasure

__all__: list[str] = []


@command(audit, "erase")
async def erase(
    cli: Cli,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="Whose data, as runs were started with it.")
    ],
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
) -> None:
    """Destroy a person's key, end their runs in flight, and take away what was recorded. It cannot be undone.

    Journals stay, with their hashes and without what was recorded, and verify as before. The same call finishes an
    erasure that was interrupted.
    """
    async with cli.opened() as app:
        found = await app.erasable(subject)
        if dry_run:
            cli.done(f"would erase {_what(found)}", {**asdict(found), "dry_run": True})
            return
        if not yes and (cli.json or not cli.err.is_terminal):
            raise ConfigError(f"what {_what(found)} recorded would be gone for good: add `--yes`")
        if not yes and not typer.confirm(
            f"What {_what(found)} recorded will be gone for good. Go on?", err=True
        ):
            return
        done = await app.erase(subject, by=operator(by))
    _tell(cli, done)


def _what(found: Erasable) -> str:
    runs = "1 run" if found.runs == 1 else f"{found.runs} runs"
    flying = f", of which {found.in_flight} in flight will end as cancelled," if found.in_flight else ""
    return f"{runs} about `{found.subject}`{flying}"


def _tell(cli: Cli, done: Erasure) -> None:
    from ...views.words import iso

    told: dict[str, Any] = {**asdict(done), "at": iso(done.at)}
    cli.done(
        f"`{done.subject}` is erased: {done.runs} runs with {done.entries} entries can be read by nobody; recorded as "
        f"{done.record}",
        told,
    )
    if done.ended:
        cli.note(f"ended in flight: {', '.join(done.ended)}")
    for step in done.in_doubt:
        cli.note(f"was under way, and nobody will know whether it happened: {step}")
    if done.left:
        cli.note(f"still held by the database: {done.left}")
