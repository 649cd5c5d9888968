"""`perdure runs resume|cancel|pause|settle` and `perdure signal`: steering from outside."""

from __future__ import annotations

import getpass
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, RunConflict, RunEnded, UnknownStep
from ...views.words import safe
from ..approvals.signing import SignWith, open_key, signer
from ..arguments import json_text, json_value
from ..command import Cli, command
from ..tree import root, runs
from .bulk import (
    AgentFilter,
    LabelFilter,
    ReasonFilter,
    Since,
    SomeRun,
    StatusFilter,
    Until,
    VersionFilter,
    Yes,
    each,
    query_of,
)
from .listing import RunId

if TYPE_CHECKING:
    from ...journal import RunRecord

__all__ = ["By", "operator"]

By = Annotated[
    str | None,
    typer.Option("--by", "--as", metavar="NAME", help="Who says so; the user of this machine if not given."),
]


def operator(by: str | None) -> str:
    """Who steers: as given, or the user that the operating system knows."""
    if by is not None:
        if not by.strip():
            raise ConfigError("`--by` is empty; say who answers")
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


@command(runs, "resume")
async def resume(
    cli: Cli,
    run: RunId,
    reset: Annotated[
        bool, typer.Option("--reset", help="Release it from quarantine; its deaths are forgotten.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Go on with this code; recorded steps in its way are set aside."),
    ] = False,
    even_writes: Annotated[
        bool, typer.Option("--even-writes", help="With --accept: also steps that have done something.")
    ] = False,
    by: By = None,
) -> None:
    """Let a paused run go on; make one that waits look again; with --reset, release one from quarantine.

    One that waits as `nondeterministic` goes on with the app's code as it is now, with --accept.
    """
    from ...journal import RunStatus
    from ..display.follow import record_of

    if even_writes and not accept:
        raise ConfigError("`--even-writes` says what `--accept` may set aside: give both")
    if accept:
        await _accept(cli, run, even_writes=even_writes, by=by)
        return
    async with cli.opened() as app:
        record = await record_of(app, run)
        if record.status is RunStatus.QUARANTINED and not reset:
            raise RunEnded(
                f"run `{record.ref}` is quarantined: it killed its workers. When that is mended: "
                f"`{cli.hint('runs', 'resume', run, '--reset')}`"
            )
        await app.resume(run, by=operator(by), reset=reset)
    cli.done(
        f"{record.ref} goes on as soon as a worker is there", {"run": run, "resumed": True, "reset": reset}
    )


async def _accept(cli: Cli, run: str, *, even_writes: bool, by: str | None) -> None:
    """With the app's own code: what is in its way is found by rehearsal."""
    from ..command import refuse_absent

    app = cli.load_app()
    refuse_absent(app.store.url)
    try:
        with redirect_stdout(sys.stderr):  # what the agent prints as it is replayed is no answer
            accepted = await app.accept(run, by=operator(by), even_writes=even_writes)
    finally:
        await app.close()
    steps = ", ".join(safe(step) for step in accepted.steps)
    cli.done(
        f"{run} goes on with this code as soon as a worker is there; set aside: {steps}",
        {"run": run, "accepted": True, "set_aside": accepted.steps, "writes": accepted.done},
    )


@command(runs, "cancel")
async def cancel(
    cli: Cli,
    run: SomeRun = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; the run's code and its journal get it.")] = "",
    terminate: Annotated[
        bool, typer.Option("--terminate", help="End it now, without asking its code to clean up.")
    ] = False,
    compensate: Annotated[
        bool, typer.Option("--compensate", help="Undo what it has done before it ends.")
    ] = False,
    status: StatusFilter = None,
    agent: AgentFilter = None,
    version: VersionFilter = None,
    label: LabelFilter = None,
    waits_for: ReasonFilter = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    by: By = None,
) -> int | None:
    """Cancel a run, or many by filters: `RunCancelled` is raised at its next step."""
    from ...journal import ENDINGS, RunStatus

    async with cli.opened() as app:
        query = query_of(
            app,
            status=status,
            agent=agent,
            version=version,
            label=label,
            reason=waits_for,
            since=since,
            until=until,
        )
        if (run is None) == (query is None):
            raise ConfigError("name one run, or say which by filters: `--agent NAME --label k=v --since 1d`")
        if query is not None:
            if query.statuses & ENDINGS:
                ended = ", ".join(sorted(query.statuses & ENDINGS))
                raise ConfigError(
                    f"runs that are {ended} have ended already; leave `--status` out for all that live"
                )
            query = replace(query, statuses=query.statuses or frozenset(RunStatus) - ENDINGS)

            async def do(record: RunRecord) -> dict[str, Any]:
                await app.cancel(
                    record.ref.id, reason=reason, by=operator(by), terminate=terminate, compensate=compensate
                )
                return {}

            return await each(cli, app, query, "cancelled", do, yes=yes)
        assert run is not None
        await app.cancel(run, reason=reason, by=operator(by), terminate=terminate, compensate=compensate)
    done = "ended: cancelled, its code was not asked" if terminate else "is asked to stop at its next step"
    undo = ", then what it has done is undone" if compensate else ""
    told = {"run": run, "cancelled": True, "terminated": terminate, "compensate": compensate}
    cli.done(f"{run} {done}{undo}", told)
    return None


@command(runs, "pause")
async def pause(cli: Cli, run: RunId, by: By = None) -> None:
    """Hold a run at its next step until `runs resume`."""
    async with cli.opened() as app:
        await app.pause(run, by=operator(by))
    cli.done(
        f"{run} is held at its next step; {cli.hint('runs', 'resume', run)}", {"run": run, "paused": True}
    )


@command(runs, "settle")
async def settle(
    cli: Cli,
    run: RunId,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step in doubt, as `runs show` names it.")],
    happened: Annotated[
        str | None,
        typer.Option("--happened", metavar="RESULT", help="It did; what it returned, as JSON, @FILE or -."),
    ] = None,
    did_not: Annotated[
        bool, typer.Option("--did-not-happen", help="It did not; it may be tried again.")
    ] = False,
    sign_with: SignWith = None,
    by: By = None,
) -> None:
    """Say whether a write in doubt happened. Look first: the run builds on what you say."""
    from ...journal import ENDINGS
    from ...runtime.boundary.settling import sign_settlement
    from ...views.story import story_of
    from ..display.follow import record_of

    if (happened is None) == (not did_not):
        raise ConfigError(
            "say one of `--happened RESULT` (JSON; `null` where there is none) and `--did-not-happen`"
        )
    result = None if happened is None else json_text(happened, what="the result")
    async with cli.opened() as app:
        record = await record_of(app, run)
        if record.status in ENDINGS:
            raise RunEnded(f"run `{record.ref}` has ended ({record.status}) and takes no more messages")
        doubts = story_of(await app.store.read(record.ref, after=record.base - 1)).doubts
        if step not in doubts:
            there = ", ".join(f"`{key}`" for key in doubts) or "none"
            raise UnknownStep(f"step `{step}` of run `{record.ref}` is not in doubt; in doubt: {there}")
        unread = await app.store.inbox(record.rid, after=record.drained_seq)
        if said := next((m for m in unread if m.kind == "settle" and m.name == step), None):
            raise RunConflict(
                f"step `{step}` of run `{record.ref}` was settled by {said.sender} already; no worker has taken "
                "that up yet"
            )
        doubt = next((d for d in await app.doubts(run) if d.step == step), None)
        key = None if doubt is None else signer(f"step `{step}`", doubt.signing, sign_with, by)
        who, proof = operator(by), None
        if key is not None and doubt is not None:
            opened = open_key(key)
            who = by or opened.user
            proof = sign_settlement(doubt, opened, by=who, happened=happened is not None, result=result)
        await app.settle(run, step, happened=happened is not None, result=result, by=who, proof=proof)
    cli.done(
        f"{run}: {step} {'happened' if happened is not None else 'did not happen'}; it goes on with that",
        {"run": run, "step": step, "happened": happened is not None},
    )


@command(root, "signal", rich_help_panel="Look and steer")
async def signal(
    cli: Cli,
    run: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What `run.receive(NAME)` waits for.")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD]", help="JSON.")] = "null",
    message_id: Annotated[
        str | None,
        typer.Option("--message-id", metavar="ID", help="Sent twice under one id, it counts once."),
    ] = None,
    by: By = None,
) -> None:
    """Send a run a signal."""
    value = json_value(payload, what="the payload")
    async with cli.opened() as app:
        fresh = await app.signal(run, name, value, message_id=message_id, sender=operator(by))
    cli.done(
        f"{run} has the signal {name}" if fresh else f"{run} had the message {message_id} already",
        {"run": run, "signal": name, "fresh": fresh},
    )
