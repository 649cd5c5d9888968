"""`perdure runs fork|retry`: a new run out of what another recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, InvalidInput, UnknownAgent
from ..arguments import json_text
from ..command import Cli, command
from ..tree import runs
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
from .listing import RunId
from .steer import By, operator

if TYPE_CHECKING:
    from ...app.handle import Handle
    from ...journal import RunRecord

__all__ = ["NewId", "Version"]

NewId = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="The new run's id: made twice, it is one run.")
]
Version = Annotated[
    str | None, typer.Option("--version", metavar="V", help="The agent's version; the source's if not given.")
]


@command(runs, "fork")
async def fork(
    cli: Cli,
    run: RunId,
    from_step: Annotated[
        str,
        typer.Option(
            "--from", metavar="STEP", help="The first step that it does itself, as `runs show` names it."
        ),
    ],
    input_: Annotated[
        str | None, typer.Option("--with", metavar="JSON", help="Another input: JSON, @FILE, or - for stdin.")
    ] = None,
    new_id: NewId = None,
    version: Version = None,
    by: By = None,
) -> None:
    """Make a new run that has all of RUN before a step, and goes on by itself from there. RUN goes on untouched."""
    from ...app.histories import KEPT

    async with cli.opened() as app:
        given = KEPT if input_ is None else json_text(input_, what="the input")
        if given is not KEPT:
            await _refuse_unfit(cli, app, run, version, given)
        made = await app.fork(
            run, from_step=from_step, input=given, run_id=new_id, version=version, by=operator(by)
        )
        await _tell(cli, made, run, f"a fork of {run} from {from_step}")


async def _refuse_unfit(cli: Cli, app: Any, run: str, version: str | None, given: Any) -> None:
    """Where the app can be found, refuse an input that its agent cannot take: else the run would stop at it."""
    from ..display.follow import record_of
    from .run import typed_input

    if cli.target() is None:
        return
    record = await record_of(app, run)
    agent = cli.load_app().agents.get((record.agent, version or record.version))
    if agent is None:
        raise UnknownAgent(
            f"the app has no agent `{record.agent}` version `{version or record.version}`; name one that it has: "
            "`--version V`"
        )
    try:
        typed_input(agent, given, given=True)
    except InvalidInput as error:
        raise InvalidInput(f"`--with`: {error}") from None


@command(runs, "retry")
async def retry(
    cli: Cli,
    run: SomeRun = None,
    new_id: NewId = None,
    version: Version = None,
    force: Annotated[bool, typer.Option("--force", help="Also one that succeeded.")] = False,
    status: StatusFilter = None,
    agent: AgentFilter = None,
    of_version: VersionFilter = None,
    label: LabelFilter = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    by: By = None,
) -> int | None:
    """Make a new run that tries again what ended RUN, and repeats nothing that it had finished; or many, by filters."""
    async with cli.opened() as app:
        query = query_of(
            app, status=status, agent=agent, version=of_version, label=label, since=since, until=until
        )
        if (run is None) == (query is None):
            raise ConfigError(
                "name one run, or say which by filters: `--status failed --agent NAME --since 1d`"
            )
        if run is not None:
            made = await app.retry(run, run_id=new_id, version=version, force=force, by=operator(by))
            await _tell(cli, made, run, f"a retry of {run}")
            return None
        if new_id is not None:
            raise ConfigError("`--id` names one run; of many each gets an id that follows from its own")
        assert query is not None
        if not query.statuses:
            raise ConfigError(
                "say which endings are to be retried: `--status failed`, `--status cancelled`, ..."
            )

        async def do(record: RunRecord) -> dict[str, Any]:
            made = await app.retry(record.ref.id, version=version, force=force, by=operator(by))
            return {"run": made.id, "fresh": made.fresh}

        return await each(cli, app, query, "retried", do, yes=yes)


async def _tell(cli: Cli, made: Handle, run: str, what: str) -> None:
    record = await made.record()
    told = {"run": made.id, "of": run, "fresh": made.fresh, "status": record.status.value}
    if made.fresh:
        cli.done(f"{made.id}: {what}; it begins as soon as a worker is there", told)
    else:
        cli.done(
            f"{made.id}: {what}, was made before and is {record.status.value}; for another one give `--id`",
            told,
        )
