"""`perdure db migrate|check|path`: the store's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigError, StoreCorrupt, StoreError
from .command import Cli, command, refuse_absent
from .outcome import Exit
from .tree import db

if TYPE_CHECKING:
    from ..app import App

__all__ = ["file_faults", "file_of", "verify_runs"]

PAGE = 500


def file_of(cli: Cli) -> Path:
    """The SQLite file of the store that is meant. Raises `ConfigError` for a store of another kind."""
    url = cli.store_url()
    if not url.startswith("sqlite:///"):
        raise ConfigError(f"store `{url}` is not a file; this command is for `sqlite:///PATH`")
    return Path(url.removeprefix("sqlite:///")).absolute()


def file_faults(path: Path, *, quick: bool = False) -> list[str]:
    """What SQLite itself finds wrong with the file. Raises `StoreError` where it cannot even be opened."""
    from ..db.sqlite.connection import connect, named_errors

    with named_errors(str(path)):
        connection = connect(str(path), read_only=True)
        try:
            rows = connection.execute(f"pragma {'quick_check' if quick else 'integrity_check'}").fetchall()
        finally:
            connection.close()
    return [str(row[0]) for row in rows if row[0] != "ok"]


def versions(path: Path) -> tuple[int, int]:
    """The schema version of the file, and the newest that this release knows."""
    from ..db.sqlite.connection import connect, named_errors, newest_version, version_of

    with named_errors(str(path)):
        connection = connect(str(path), read_only=True)
        try:
            return version_of(connection), newest_version()
        finally:
            connection.close()


@command(db, "path")
def path(cli: Cli) -> None:
    """Print where the store's file is, or would be."""
    file = file_of(cli)
    cli.done(str(file), {"path": str(file), "exists": file.exists()})


@command(db, "migrate")
def migrate(cli: Cli) -> None:
    """Bring the schema to this release's version; forward only, one transaction a step."""
    from ..db.sqlite.connection import connect, newest_version
    from ..db.sqlite.connection import migrate as move

    file = file_of(cli)
    refuse_absent(f"sqlite:///{file}")
    connection = connect(str(file))
    try:
        taken = move(connection, str(file))
    finally:
        connection.close()
    newest = newest_version()
    moved = f"moved to schema version {newest}" if taken else f"has schema version {newest} already"
    cli.done(f"{file} {moved}", {"path": str(file), "version": newest, "steps": taken})


@command(db, "check")
async def check(
    cli: Cli,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the file and its version, not every journal.")
    ] = False,
) -> int:
    """Check the file, its schema version, and the hash chain of every run; exit 3 where something is wrong."""
    file = file_of(cli)
    refuse_absent(f"sqlite:///{file}")
    have, newest = versions(file)
    faults = file_faults(file, quick=quick)
    if faults:
        raise StoreCorrupt(f"`{file}` is damaged ({'; '.join(faults[:3])}); restore it from a backup")
    wrong: list[tuple[str, StoreError]] = []
    checked = entries = 0
    async with cli.opened() as app:
        if not quick:
            checked, entries, wrong = await _with_bar(cli, app)
    for _, error in wrong:
        if not cli.json:
            cli.fail(error)
    told = {
        "path": str(file),
        "version": have,
        "newest": newest,
        "runs": checked,
        "entries": entries,
        "faults": [{"run": run, "type": type(e).__name__, "message": str(e)} for run, e in wrong],
    }
    if cli.json:
        cli.answer(told)
    elif not wrong:
        verified = "" if quick else f", {checked} runs with {entries} entries verified"
        cli.done(f"{file}: schema version {have}, the file is sound{verified}", told)
    return Exit.STORE if wrong else Exit.OK


async def _with_bar(cli: Cli, app: App) -> tuple[int, int, list[tuple[str, StoreError]]]:
    if cli.json or not cli.err.is_terminal:
        return await verify_runs(app, tenant=None)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..journal import RunQuery

    newest = await app.store.find(RunQuery(limit=1))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task("verifying journals", total=newest[0].rid if newest else 0)
        return await verify_runs(app, tenant=None, seen=lambda: bar.advance(task))


async def verify_runs(
    app: Any, *, tenant: str | None, limit: int | None = None, seen: Callable[[], None] = lambda: None
) -> tuple[int, int, list[tuple[str, StoreError]]]:
    """Verify the newest `limit` runs, or all: how many, their entries, and what was wrong with which."""
    from ..journal import RunQuery
    from .export import verify_run

    wrong: list[tuple[str, StoreError]] = []
    checked = entries = 0
    before: int | None = None
    while limit is None or checked < limit:
        size = PAGE if limit is None else min(PAGE, limit - checked)
        page = await app.store.find(RunQuery(tenant=tenant, limit=size, before=before))
        if not page:
            break
        for record in page:
            try:
                await verify_run(app, record)
            except StoreError as error:
                wrong.append((str(record.ref), error))
            checked += 1
            entries += record.head
            seen()
        before = page[-1].rid
    return checked, entries, wrong
