"""`perdure db info|path|migrate|check`: the store as a whole, a SQLite file or a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import StoreCorrupt, StoreError
from ..arguments import duration
from ..command import Cli, command, refuse_absent
from ..outcome import Exit
from ..tree import db

if TYPE_CHECKING:
    from ...app import App
    from ...db.maintenance import Maintenance, StoreInfo

__all__ = ["maintained", "verify_runs"]

PAGE = 500


@contextmanager
def maintained(cli: Cli) -> Generator[Maintenance]:
    """The operator's side of the store that is meant."""
    from ...db.maintenance import maintenance_of

    store = maintenance_of(cli.store_url())
    try:
        yield store
    finally:
        store.close()


@command(db, "path")
def path(cli: Cli) -> None:
    """Print where the store is, or would be: its file, or its URL without the password."""
    from ...core.settings import without_password

    with maintained(cli) as store:
        if not store.url.startswith("sqlite:"):
            url = without_password(store.url)
            cli.done(url, {"url": url})
            return
        cli.done(store.name, {"path": store.name, "url": store.url, "exists": store.exists()})


@command(db, "info")
def info(cli: Cli) -> None:
    """Show the store as a whole: its version, runs by status, sizes, what waits longest, the workers."""
    with maintained(cli) as store:
        refuse_absent(store.url)
        found = store.info()
    if cli.json:
        cli.answer(_info_json(store, found))
        return
    from rich.text import Text

    from ...views.words import short_span

    def line(what: str, said: str) -> None:
        cli.out.print(Text.assemble((f"{what:<12}", "dim"), said), soft_wrap=True)

    line("store", f"{store.name}")
    line("server", f"{'SQLite' if found.kind == 'sqlite' else 'PostgreSQL'} {found.server}")
    line("schema", f"version {found.schema}" + _age(found))
    if found.moved is not None:
        line("moved", f"to {found.moved}: nobody goes on here")
    runs = ", ".join(f"{count} {status}" for status, count in found.runs.items())
    line("runs", f"{sum(found.runs.values())}" + (f": {runs}" if runs else ""))
    line("journals", f"{found.entries} entries, {found.blobs} large payloads")
    line("size", _size(found.bytes))
    for what, since in (("waiting", found.waiting_since), ("due", found.due_since)):
        if since is not None and since <= found.now:
            line(what, f"the oldest for {short_span(found.now - since)}")
    for n, session in enumerate(found.sessions):
        left = session.expires - found.now
        lease = f"lease over {short_span(-left)} ago" if left < 0 else f"lease for {short_span(left)} more"
        line("" if n else "workers", f"{session.id} on {session.label}: {session.runs} runs, {lease}")
    for what, said in found.notes.items():
        line(what, said)


def _age(found: StoreInfo) -> str:
    if found.schema == found.newest:
        return ""
    return f"; this release {'needs' if found.schema < found.newest else 'knows'} {found.newest}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _info_json(store: Maintenance, found: StoreInfo) -> dict[str, Any]:
    from ...core.settings import without_password
    from ...views.words import iso

    return {
        "url": without_password(store.url),
        "kind": found.kind,
        "server": found.server,
        "version": found.schema,
        "newest": found.newest,
        "moved": found.moved,
        "runs": dict(found.runs),
        "entries": found.entries,
        "blobs": found.blobs,
        "bytes": found.bytes,
        "waiting_since": iso(found.waiting_since),
        "due_since": iso(found.due_since),
        "sessions": [
            {"session": s.id, "label": s.label, "expires": iso(s.expires), "runs": s.runs}
            for s in found.sessions
        ],
        "notes": dict(found.notes),
    }


@command(db, "migrate")
def migrate(
    cli: Cli,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which steps it would take.")] = False,
    wait: Annotated[
        str, typer.Option("--wait", metavar="60s", help="How long to wait for who uses the tables.")
    ] = "60s",
    grant: Annotated[
        str | None,
        typer.Option("--grant", metavar="ROLE", help="Then give this role what a worker needs (PostgreSQL)."),
    ] = None,
) -> None:
    """Bring the schema to this release's version, forward only; makes the tables of a new PostgreSQL store.

    On PostgreSQL by the role that owns the schema (or may make one); all steps are one transaction, and while it waits
    for somebody's lock, workers go on. On SQLite each step is a transaction.
    """
    with maintained(cli) as store:
        if store.url.startswith("sqlite:"):
            refuse_absent(store.url)
        patience = duration(wait, what="--wait").total_seconds()
        steps = store.pending()
        have, newest = store.versions()
        told: dict[str, Any] = {"store": store.name, "version": newest, "steps": steps}
        if store.url.startswith("sqlite:"):
            told["path"] = store.name
        if dry_run:
            would = f"would take step {', '.join(map(str, steps))} to" if steps else "has"
            cli.done(
                f"{store.name} {would} schema version {newest}", told | {"version": have, "dry_run": True}
            )
            return
        taken = store.migrate(wait=patience, waiting=lambda who: cli.note(f"waiting for {who}"))
        if grant is not None:
            store.grant(grant)
    moved = f"moved to schema version {newest}" if taken else f"has schema version {newest} already"
    granted = f"; `{grant}` may work on it" if grant is not None else ""
    cli.done(f"{store.name} {moved}{granted}", told | {"steps": taken, "granted": grant})


@command(db, "check")
async def check(
    cli: Cli,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the database and its version, not every journal.")
    ] = False,
) -> int:
    """Check the database, its schema version, and the hash chain of every run; exit 3 where something is wrong."""
    refuse_absent(cli.store_url())
    with maintained(cli) as store:
        have, newest = store.versions()
        faults = store.faults(quick=quick)
    file = store.url.startswith("sqlite:")
    if faults and file:
        raise StoreCorrupt(f"`{store.name}` is damaged ({'; '.join(faults[:3])}); restore it from a backup")
    wrong: list[tuple[str, StoreError]] = [("", StoreError(f"`{store.name}`: {f}")) for f in faults]
    checked = entries = 0
    async with cli.opened() as app:
        if not quick:
            checked, entries, broken = await _with_bar(cli, app)
            wrong += broken
    for _, error in wrong:
        if not cli.json:
            cli.fail(error)
    told = {
        **({"path": store.name} if file else {"store": store.name}),
        "version": have,
        "newest": newest,
        "runs": checked,
        "entries": entries,
        "faults": [{"run": run or None, "type": type(e).__name__, "message": str(e)} for run, e in wrong],
    }
    if cli.json:
        cli.answer(told)
    elif not wrong:
        verified = "" if quick else f", {checked} runs with {entries} entries verified"
        what = "file" if file else "database"
        cli.done(f"{store.name}: schema version {have}, the {what} is sound{verified}", told)
    return Exit.STORE if wrong else Exit.OK


async def _with_bar(cli: Cli, app: App) -> tuple[int, int, list[tuple[str, StoreError]]]:
    if cli.json or not cli.err.is_terminal:
        return await verify_runs(app, tenant=None)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ...journal import RunQuery

    newest = await app.store.find(RunQuery(limit=1))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task("verifying journals", total=newest[0].rid if newest else 0)
        return await verify_runs(app, tenant=None, seen=lambda: bar.advance(task))


async def verify_runs(
    app: Any, *, tenant: str | None, limit: int | None = None, seen: Callable[[], None] = lambda: None
) -> tuple[int, int, list[tuple[str, StoreError]]]:
    """Verify the newest `limit` runs, or all: how many, their entries, and what was wrong with which."""
    from ...journal import RunQuery
    from ..runs.export import verify_run

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
