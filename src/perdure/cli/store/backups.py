"""`perdure db backup|restore|restored`: a copy to be kept, and the way back that does not do today's writes again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command, refuse_absent
from ..tree import db
from .database import maintained

if TYPE_CHECKING:
    from ...app.restoring import Held

__all__: list[str] = []

_ENDINGS = ("", "-wal", "-shm")
"""Of the files that are one SQLite store."""


@command(db, "backup")
def backup(
    cli: Cli, target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.", dir_okay=False)]
) -> None:
    """Copy a SQLite store to a new file, as of one moment, while runs go on. `perdure db restore` brings it back."""
    refuse_absent(cli.store_url())
    target = target.absolute()
    with maintained(cli) as store, _bar(cli, "copying") as seen:
        store.backup(target, seen=seen)
    size = target.stat().st_size
    cli.done(
        f"{store.name} is in {target} ({size / 1e6:.1f} MB): a backup, in which no worker goes on as it is. "
        "Keep it on another machine",
        {"path": store.name, "backup": str(target), "bytes": size},
    )


@command(db, "restore")
async def restore(
    cli: Cli,
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `perdure db backup` made.", dir_okay=False)
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Move the store that is there aside: its workers are stopped.")
    ] = False,
) -> None:
    """Put a backup in the place of a SQLite store, and hold what was in flight in it for review."""
    path = _file_of(cli.store_url())
    _refuse_no_backup(source)
    aside = _put_in_place(source, path, replace=replace)
    held = await _settle(cli, nothing_lost=False)
    told = {"path": str(path), "from": str(source), "aside": str(aside) if aside else None}
    where = f"; what was there is in {aside}" if aside else ""
    cli.done(f"{path} is what {source} holds{where}. {_held(held)}", told | _held_json(held))


def _file_of(url: str) -> Path:
    if not url.startswith("sqlite:///"):
        raise ConfigError(
            "only a SQLite store is put back from here; restore a PostgreSQL database with its own tools, then "
            "`perdure db restored`"
        )
    return Path(url.removeprefix("sqlite:///")).absolute()


def _put_in_place(source: Path, path: Path, *, replace: bool) -> Path | None:
    unfinished = path.with_name(f".{path.name}.restoring")
    shutil.copyfile(source, unfinished)
    try:
        aside = _make_room(path, replace=replace)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return aside


def _refuse_no_backup(source: Path) -> None:
    from ...db.maintenance import maintenance_of

    if not source.is_file():
        raise ConfigError(f"there is no file `{source}`: name what `perdure db backup` made")
    store = maintenance_of(f"sqlite:///{source.absolute()}")
    try:
        faults = store.faults(quick=True)
    finally:
        store.close()
    if faults:
        raise ConfigError(f"`{source}` is damaged ({faults[0]}): nothing was touched; take an older backup")


def _make_room(path: Path, *, replace: bool) -> Path | None:
    """Move away what is there, its log with it: SQLite would play that into any file of this name."""
    there = [path.with_name(path.name + ending) for ending in _ENDINGS]
    if not any(file.exists() for file in there):
        return None
    if not replace:
        raise ConfigError(
            f"`{path}` is there already: stop its workers, then `--replace` moves it aside (nothing is deleted)"
        )
    n = 1
    while (aside := path.with_name(f"{path.name}.before-restore-{n}")).exists():
        n += 1
    for file, ending in zip(there, _ENDINGS, strict=True):
        if file.exists():
            os.replace(file, aside.with_name(aside.name + ending))
    return aside


@command(db, "restored")
async def restored(
    cli: Cli,
    nothing_lost: Annotated[
        bool,
        typer.Option(
            "--nothing-lost",
            help="The store has all that it ever acknowledged (a synchronous standby, an upgrade): hold nothing.",
        ),
    ] = False,
) -> None:
    """Settle that the store was put back from an earlier moment: hold what was in flight, then let workers begin.

    What ran since that moment is forgotten, and would be done again. So each run that had not ended is paused before
    its next step, and so is each schedule: `perdure runs ls --waits-for paused`, look, then `perdure runs resume`.
    """
    refuse_absent(cli.store_url())
    held = await _settle(cli, nothing_lost=nothing_lost)
    cli.done(_held(held), _held_json(held))


async def _settle(cli: Cli, *, nothing_lost: bool) -> Held | None:
    from ...app.restoring import hold

    with maintained(cli) as store:
        was = store.restored()
        held = None
        if not nothing_lost:
            async with cli.opened() as app:
                held = await hold(app, id=(was or "asked").replace("/", "-").replace(" ", "-"))
        # Only now: who dies before this finds the store refused still, and what was held is held once.
        store.close()
        store.adopt()
    return held


def _held(held: Held | None) -> str:
    if held is None:
        return "workers may begin; nothing was held"
    return (
        f"{held.runs} runs in flight and {held.schedules} schedules are paused; workers may begin. Look at each with "
        "`perdure runs show RUN`, then `perdure runs resume RUN` or `cancel`; `perdure schedules resume NAME`"
    )


def _held_json(held: Held | None) -> dict[str, int]:
    return {"runs": held.runs if held else 0, "schedules": held.schedules if held else 0}


@contextmanager
def _bar(cli: Cli, what: str) -> Generator[Callable[[int, int], None]]:
    if cli.json or not cli.err.is_terminal:
        yield lambda done, of: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
