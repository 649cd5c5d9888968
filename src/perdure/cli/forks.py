"""`perdure runs fork|retry`: a new run out of what another recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InvalidInput, UnknownAgent
from .arguments import json_text
from .command import Cli, command
from .runs import RunId
from .steer import By, operator
from .tree import runs

if TYPE_CHECKING:
    from ..handle import Handle

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
    from ..histories import KEPT

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
    from .follow import record_of
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
    run: RunId,
    new_id: NewId = None,
    version: Version = None,
    force: Annotated[bool, typer.Option("--force", help="Also one that succeeded.")] = False,
    by: By = None,
) -> None:
    """Make a new run that tries again what ended RUN, and repeats nothing that it had finished."""
    async with cli.opened() as app:
        made = await app.retry(run, run_id=new_id, version=version, force=force, by=operator(by))
        await _tell(cli, made, run, f"a retry of {run}")


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
