"""`perdure db copy|unmove`: a store moves to another database, with runs in flight."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command, refuse_absent
from ..tree import db
from .database import maintained

__all__: list[str] = []


@command(db, "copy")
def copy(
    cli: Cli,
    target: Annotated[
        str, typer.Argument(metavar="URL", help="Where to: `postgresql://USER@HOST/DATABASE`.")
    ],
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="Instead of the store at hand.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Although workers are at work: they lose their runs.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Do not mark the old store as moved: a copy to look at.")
    ] = False,
) -> None:
    """Copy a SQLite store to PostgreSQL, runs in flight included; then nobody goes on in the old one.

    All or nothing. Every journal is verified on the way. Runs that were claimed arrive pending, and go on with the
    next worker.
    """
    from ...core.settings import shown_url
    from ...db.maintenance import maintenance_of

    url = source or cli.store_url()
    if not url.startswith("sqlite:///") or not target.startswith(("postgresql://", "postgres://")):
        raise ConfigError(
            f"cannot copy `{shown_url(url)}` to `{shown_url(target)}`: only from `sqlite:///PATH` to `postgresql://...`"
        )
    maintenance_of(target)  # says where psycopg is missing
    refuse_absent(url)
    from ...db.postgres.transfer import PostgresTarget
    from ...db.sqlite.transfer import SqliteSource
    from ...db.transfer import transfer

    old, new = SqliteSource(url), PostgresTarget(target)
    try:
        with _bar(cli) as seen:
            done = transfer(old, new, force=force, keep=keep, seen=seen)
    finally:
        new.undo()
        old.close()
    told = {
        "from": old.name,
        "to": new.name,
        "rows": dict(done.rows),
        "taken": done.taken,
        "moved": not keep,
        "there_already": done.there_already,
    }
    runs, entries = done.rows.get("runs", 0), done.rows.get("entries", 0)
    what = "was there already, and is now the store" if done.there_already else "verified"
    after = (
        "the old store is as it was"
        if keep
        else f"`{old.name}` is marked as moved: start workers on the new one"
    )
    cli.done(f"{runs} runs with {entries} entries in `{new.name}`, {what}; {after}", told)


@contextmanager
def _bar(cli: Cli) -> Generator[Callable[[str, int, int], None]]:
    if cli.json or not cli.err.is_terminal:
        yield lambda table, more, of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=cli.err, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def seen(table: str, more: int, of: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(table, total=of)
            bar.advance(tasks[table], more)

        yield seen


@command(db, "unmove")
def unmove(
    cli: Cli,
    yes: Annotated[
        bool, typer.Option("--yes", help="Nobody has gone on, nor will, in the database that it moved to.")
    ] = False,
) -> None:
    """Let work go on in a store that was marked as moved. What happens in both is done twice: stop the other first."""
    from ...db.sqlite.transfer import unmove as take_mark_away

    with maintained(cli) as store:
        if not store.url.startswith("sqlite:"):
            raise ConfigError(f"`{store.name}` is not a file: only a SQLite store is ever marked as moved")
        refuse_absent(store.url)
        moved = store.info().moved
        store.close()
        if moved is not None and not yes:
            raise ConfigError(
                f"`{store.name}` has moved to `{moved}`. Where runs have gone on there, their effects would happen "
                "again here: empty or drop that store first, then `perdure db unmove --yes`"
            )
        was = take_mark_away(store.name)
    cli.done(f"work may go on in {store.name}; it had moved to {was}", {"path": store.name, "was": was})
