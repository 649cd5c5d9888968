"""`perdure runs prune` and `perdure db gc`: what is taken away in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.clock import to_micros
from ...core.errors import ConfigError, RunConflict
from ..arguments import duration
from ..command import Cli, command
from ..tree import db, runs
from .bulk import (
    AgentFilter,
    LabelFilter,
    Since,
    SomeRun,
    StatusFilter,
    Until,
    VersionFilter,
    Yes,
    each,
    query_of,
)

if TYPE_CHECKING:
    from ...journal import RunRecord

BATCH = 100


@command(runs, "prune")
async def prune(
    cli: Cli,
    run: SomeRun = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="30d", help="Many: only those that ended so long ago."),
    ] = None,
    status: StatusFilter = None,
    agent: AgentFilter = None,
    version: VersionFilter = None,
    label: LabelFilter = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    yes: Yes = False,
) -> int | None:
    """Take away what runs that have ended recorded; their rows and the chain of their headers stay. For good.

    Of a run that still lives, named by its id, only what lies before it was last continued as new is taken away.
    """
    from ...journal import ENDINGS, RunQuery
    from ..display.follow import record_of

    async with cli.opened() as app:
        query = query_of(
            app, status=status, agent=agent, version=version, label=label, since=since, until=until
        )
        if run is not None:
            if query is not None or older_than is not None:
                raise ConfigError("name one run, or give filters, not both")
            record = await record_of(app, run)
            if record.status not in ENDINGS and record.base == 1:
                raise RunConflict(
                    f"run `{record.ref}` has not ended ({record.status}): there is nothing to prune yet"
                )
            ref, query = record.ref, RunQuery(tenant=app.tenant)
            if dry_run:
                cli.done(f"{ref} would be pruned", {"run": run, "pruned": 0})
                return None
            if not yes and (cli.json or not cli.err.is_terminal):
                raise ConfigError(f"what `{ref}` recorded would be gone for good: add `--yes`")
            if not yes and not typer.confirm(f"What {ref} recorded will be gone for good. Go on?", err=True):
                return None
            erased = await app.prune(run)
            cli.done(f"{ref}: {erased} entries lost their payloads", {"run": run, "pruned": erased})
            return None
        if query is None and older_than is None:
            raise ConfigError("say which: a run's id, or filters: `--older-than 30d --status succeeded`")
        over = frozenset(s for s in (query.statuses if query else ()) if s in ENDINGS) or ENDINGS
        if query is not None and query.statuses and not query.statuses <= ENDINGS:
            live = ", ".join(sorted(query.statuses - ENDINGS))
            raise ConfigError(f"runs that are {live} have not ended; only those that have can be pruned")
        ended = app.store.now() + 1
        if older_than is not None:
            ended -= to_micros(duration(older_than, what="--older-than"))
        wanted = replace(
            query or RunQuery(tenant=app.tenant), statuses=over, ended_before=ended, pruned=False
        )

        async def do(record: RunRecord) -> dict[str, Any]:
            return {"pruned": await app.store.prune(record.ref)}

        return await each(cli, app, wanted, "pruned", do, yes=yes, dry_run=dry_run)


@command(db, "gc")
async def gc(cli: Cli) -> None:
    """Delete large payloads that no entry names any more; safe while workers write."""
    from ...engines.retention import BLOB_REST

    async with cli.opened() as app:
        deleted = 0
        while batch := await app.store.collect(before=app.store.now() - to_micros(BLOB_REST), limit=BATCH):
            deleted += batch
    cli.done(f"{deleted} large payloads that nothing names were deleted", {"deleted": deleted})
