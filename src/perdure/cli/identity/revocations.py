"""`perdure identity revoke --agent|--run|--user`, `restore` and `revoked`: who may do nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, RunConflict
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import identity

if TYPE_CHECKING:
    from ...governance import Revocation

__all__ = ["AgentName", "Reason", "RunId", "User", "revoke_all"]

AgentName = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="The agent, in all its versions and runs.")
]
RunId = Annotated[str | None, typer.Option("--run", metavar="RUN", help="One run.")]
User = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="All that is done on behalf of a user.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the journal of what is refused.")]


async def revoke_all(cli: Cli, who: dict[str, str | None], *, by: str | None, reason: str) -> None:
    """Stop whoever is named."""
    named = _named(who)
    async with cli.opened() as app:
        fresh = await app.revoke(**who, by=operator(by), reason=reason)
    if not fresh:
        raise RunConflict(f"{named} was revoked before; `perdure identity revoked` says by whom")
    cli.done(
        f"{named}: revoked; the next effect is refused, on every worker", {**_given(who), "revoked": True}
    )
    what, name = next(iter(_given(who).items()))
    cli.note(f"to let it go on: {cli.hint('identity', 'restore', f'--{what}', name)}")


@command(identity, "restore")
async def restore(
    cli: Cli, agent: AgentName = None, run: RunId = None, user: User = None, by: By = None
) -> None:
    """Let an agent, a run or a user that was revoked go on."""
    who = {"agent": agent, "run": run, "user": user}
    named = _named(who)
    async with cli.opened() as app:
        done = await app.restore(**who, by=operator(by))
    if not done:
        raise RunConflict(f"{named} is not revoked; `perdure identity revoked` lists who is")
    cli.done(f"{named}: restored", {**_given(who), "revoked": False})


@command(identity, "revoked")
async def revoked(cli: Cli) -> None:
    """List who may do nothing any more, since when, by whom, and why."""
    async with cli.opened() as app:
        found = await app.revoked()
        now = app.store.now()
    if cli.json:
        cli.answer([_json(one) for one in found])
        return
    if not found:
        cli.note("nobody is revoked; `perdure identity revoke --agent NAME` stops an agent")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [r.who.what, Text(safe(r.who.name), style="bold"), ago(r.at, now), safe(r.by), safe(r.reason)]
        for r in found
    ]
    cli.out.print(listing(("what", "name", "since", "by", "why"), rows, cli.out, squeeze=((1, 12), (4, 0))))


def _given(who: dict[str, str | None]) -> dict[str, str]:
    return {what: name for what, name in who.items() if name is not None}


def _named(who: dict[str, str | None]) -> str:
    given = _given(who)
    if len(given) != 1:
        raise ConfigError("name one of --agent NAME, --run RUN and --user NAME")
    ((what, name),) = given.items()
    return f"{what} `{name}`"


def _json(one: Revocation) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "tenant": one.tenant,
        "what": one.who.what,
        "name": one.who.name,
        "by": one.by,
        "reason": one.reason,
        "at": iso(one.at),
    }
