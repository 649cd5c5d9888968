"""`perdure import langgraph`: threads that LangGraph's own savers kept go on with `PerdureSaver`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import imports

if TYPE_CHECKING:
    from ...adapters.langgraph.importing import Progress, ThreadTaken
    from ...core.saved_threads import SavedThreads

__all__: list[str] = []


@command(imports, "langgraph")
async def langgraph(
    cli: Cli,
    source: Annotated[
        str,
        typer.Argument(metavar="FROM", help="Where they are: `sqlite:///FILE` or `postgresql://...`."),
    ],
    thread: Annotated[
        list[str] | None, typer.Option("--thread", metavar="ID", help="Only this one; repeatable.")
    ] = None,
    serde: Annotated[
        str | None,
        typer.Option(
            "--serde", metavar="TARGET", help="The serializer of encrypted values, as `module:attribute`."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken; write nothing.")
    ] = False,
) -> int:
    """Take over threads from LangGraph's SQLite or PostgreSQL saver into the store, for `PerdureSaver`.

    The source is only read, as it stands at one moment. What is there already is left as it is, so it may be run again
    for what has come since. A thread that cannot be read is told of, and the others are taken; then the exit code is 1.
    """
    try:
        from ...adapters.langgraph.importing import take_over
    except ImportError as error:
        raise ConfigError(f'LangGraph is not there ({error}): `pip install "perdure[langgraph]"`') from error
    from ... import open_store
    from ...core.settings import shown_url
    from ..target import load_object

    serializer = None if serde is None else _serializer(load_object(serde, folder=Path.cwd()))
    url = cli.store_url()
    saved = _opened(source)
    try:
        # What is not there yet is not made for a dry run: to that everything is new.
        store = open_store("memory://" if dry_run and _absent(url) else url)
        with _bar(cli) as progress:
            try:
                told = await take_over(
                    saved, store, tenant=cli.tenant(), only=thread or (), serde=serializer, dry_run=dry_run,
                    progress=progress,
                )  # fmt: skip
            finally:
                await store.close()
    finally:
        saved.close()
    left = [one for one in told if one.status in ("gone_on", "broken")]
    if cli.json:
        threads = [asdict(one) for one in told]
        cli.answer({"from": saved.name, "to": shown_url(url), "dry_run": dry_run, "threads": threads})
    else:
        _tell(cli, told, left, dry_run=dry_run)
    return Exit.NOT_SO if left else Exit.OK


def _opened(source: str) -> SavedThreads:
    if source.startswith("sqlite:///"):
        from ...db.sqlite.saved_threads import SqliteThreads

        return SqliteThreads(source)
    if source.startswith(("postgresql://", "postgres://")):
        from ...db.maintenance import maintenance_of

        maintenance_of(source).close()  # says where psycopg is missing
        from ...db.postgres.saved_threads import PostgresThreads

        return PostgresThreads(source)
    raise ConfigError(f"threads cannot be taken from `{source}`: name `sqlite:///FILE` or `postgresql://...`")


def _absent(url: str) -> bool:
    from ...db.maintenance import maintenance_of

    store = maintenance_of(url)
    try:
        return not store.exists()
    finally:
        store.close()


def _serializer(found: Any) -> Any:
    made = found() if callable(found) else found
    if not (hasattr(made, "loads_typed") and hasattr(made, "dumps_typed")):
        raise ConfigError(
            f"`{type(made).__qualname__}` is no serializer of LangGraph: it has no `loads_typed` and `dumps_typed`"
        )
    return made


def _tell(cli: Cli, told: list[ThreadTaken], left: list[ThreadTaken], *, dry_run: bool) -> None:
    from rich.text import Text

    from ...views.words import safe

    for one in left:
        cli.out.print(
            Text.assemble((f"not taken: {safe(one.thread)}", "bold red"), f": {safe(one.why)}"),
            soft_wrap=True,
        )
    taken = [one for one in told if one.status == "taken"]
    checkpoints = sum(one.taken for one in taken)
    there = sum(one.status == "there" for one in told)
    words = f"{'would take' if dry_run else 'took'} {len(taken)} threads with {checkpoints} new checkpoints"
    words += f"; {there} were there already" if there else ""
    words += f"; {len(left)} not taken" if left else ""
    cli.out.print(Text(words), soft_wrap=True)


@contextmanager
def _bar(cli: Cli) -> Generator[Progress]:
    if cli.json or not cli.err.is_terminal:
        yield lambda done, total, thread: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ...views.words import safe

    columns: Any = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, thread: bar.update(
            task, completed=done, total=total, description=safe(thread)
        )
