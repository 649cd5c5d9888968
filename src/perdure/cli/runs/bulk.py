"""Many runs at once: which are meant, how many that is, and whether that is wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.clock import to_micros
from ...core.errors import ConfigError, PerdureError
from ..arguments import duration, labels
from ..command import Cli, show_error
from ..complete import agent_names, run_ids, statuses, wait_reasons
from ..outcome import Exit

if TYPE_CHECKING:
    from ...app import App
    from ...journal import RunQuery, RunRecord

__all__ = [
    "AgentFilter",
    "LabelFilter",
    "ReasonFilter",
    "Since",
    "SomeRun",
    "StatusFilter",
    "Until",
    "VersionFilter",
    "Yes",
    "each",
    "query_of",
]

PAGE = 200

SomeRun = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="One run's id; else filters.", autocompletion=run_ids)
]

StatusFilter = Annotated[
    list[str] | None, typer.Option("--status", help="Many: only these; repeatable.", autocompletion=statuses)
]
AgentFilter = Annotated[
    str | None, typer.Option("--agent", help="Many: only this agent's.", autocompletion=agent_names)
]
VersionFilter = Annotated[str | None, typer.Option("--of-version", help="Many: only of this version.")]
LabelFilter = Annotated[
    list[str] | None, typer.Option("--label", metavar="K=V", help="Many: only with this label; repeatable.")
]
ReasonFilter = Annotated[
    str | None,
    typer.Option("--waits-for", help="Many: only those that wait for this.", autocompletion=wait_reasons),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="3d", help="Many: accepted then or later; a time, or so long ago."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="1h", help="Many: accepted before; as --since.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def query_of(
    app: App,
    *,
    status: Sequence[str] | None = None,
    agent: str | None = None,
    version: str | None = None,
    label: Sequence[str] | None = None,
    reason: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> RunQuery | None:
    """The filter that was typed; None where nothing was."""
    from ...journal import RunQuery, RunStatus

    if not (status or agent or version or label or reason or since or until):
        return None
    known = {s.value for s in RunStatus}
    for given in status or ():
        if given not in known:
            raise ConfigError(f"status `{given}` is not one of {', '.join(s.value for s in RunStatus)}")
    now = app.store.now()
    return RunQuery(
        tenant=app.tenant,
        statuses=frozenset(RunStatus(s) for s in status or ()),
        agent=agent,
        version=version,
        labels=labels(label or ()),
        reason=reason,
        since=None if since is None else moment(since, now, what="--since"),
        until=None if until is None else moment(until, now, what="--until"),
    )


def moment(text: str, now: int, *, what: str) -> int:
    """`3d` (so long ago), or a time as ISO 8601, UTC where it says no zone; in microseconds."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return now - to_micros(duration(text, what=what))
    return to_micros(at if at.tzinfo is not None else at.replace(tzinfo=UTC))


@dataclass(frozen=True)
class _Told:
    """What became of one run."""

    run: str
    error: str | None
    more: dict[str, Any]


async def each(
    cli: Cli,
    app: App,
    query: RunQuery,
    what: str,
    do: Callable[[RunRecord], Awaitable[dict[str, Any]]],
    *,
    yes: bool,
    dry_run: bool = False,
) -> int:
    """Count, ask, then do it to each run that matched when it was counted; one line for each that refuses.

    The exit code: 0, or 1 where a run refused. Raises `ConfigError` where nobody can be asked.
    """
    count = await app.store.count(query)
    if count == 0 or dry_run:
        cli.done(
            f"{count} runs would be {what}" if dry_run else "no such runs", {"matched": count, "done": 0}
        )
        return Exit.OK
    runs = "1 run" if count == 1 else f"{count} runs"
    if not yes:
        if cli.json or not cli.err.is_terminal:
            raise ConfigError(
                f"{runs} would be {what}, and nobody is here to be asked: look, then add `--yes`"
            )
        if not typer.confirm(f"{runs} will be {what}. Go on?", err=True):
            cli.done("left as they are", {"matched": count, "done": 0})
            return Exit.OK
    done, refused = 0, list[_Told]()
    async for record in _matching(app, query):
        try:
            await do(record)
            done += 1
        except PerdureError as error:
            refused.append(_Told(record.ref.id, str(error), {}))
            if not cli.json:
                show_error(str(error))
        if not cli.json and cli.err.is_terminal and (done + len(refused)) % 50 == 0:
            cli.note(f"{done + len(refused)} of {count}")
    told = {
        "matched": count,
        "done": done,
        "refused": [{"run": r.run, "error": r.error} for r in refused],
    }
    cli.done(f"{done} of {runs} {what}" + (f", {len(refused)} refused" if refused else ""), told)
    return Exit.NOT_SO if refused else Exit.OK


async def _matching(app: App, query: RunQuery):  # an async generator of records
    """Those that match, by pages from the newest on: what is made meanwhile is newer, and not among them."""
    newest = await app.store.find(replace(query, limit=1))
    before = newest[0].rid + 1 if newest else 0
    while page := await app.store.find(replace(query, limit=PAGE, before=before)):
        for record in page:
            yield record
        before = page[-1].rid
