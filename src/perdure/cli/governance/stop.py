"""`perdure stop`, `start` and `stopped`: hold an agent, a run, a user, a tenant or all of a store; let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, RunConflict
from ..command import Cli, command
from ..complete import agent_names
from ..runs.steer import By, operator
from ..tree import root

if TYPE_CHECKING:
    from ...app import App
    from ...governance import Revocation

__all__: list[str] = []

PANEL = "Look and steer"

AgentName = Annotated[
    str | None,
    typer.Argument(
        metavar="[AGENT]", help="The agent, in all its versions and runs.", autocompletion=agent_names
    ),
]
RunId = Annotated[str | None, typer.Option("--run", metavar="RUN", help="One run.")]
User = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="All that is done on behalf of a user.")
]
All = Annotated[bool, typer.Option("--all", help="All of the store: every agent of every tenant.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; it stands in the journal of each run that it meets.")
]


@command(root, "stop", rich_help_panel=PANEL)
async def stop(
    cli: Cli,
    agent: AgentName = None,
    run: RunId = None,
    user: User = None,
    all_: All = False,
    reason: Reason = "",
    by: By = None,
) -> None:
    """Hold an agent, a run, a user's runs, a tenant (`--tenant NAME` alone) or, with --all, everything.

    No effect begins any more, on any worker; the runs wait until `perdure start`, and nothing of them is lost.
    """
    who = _meant(cli, agent, run, user, all_=all_)
    async with cli.opened() as app:
        named = _named(app, who)
        fresh = await app.stop(**who, by=operator(by), reason=reason)
    if not fresh:
        raise RunConflict(f"{named} is stopped already; `perdure stopped` says by whom")
    cli.done(
        f"{named}: stopped before the next effect, on every worker", {**_told(app, who), "stopped": True}
    )
    cli.note(f"to let it go on: {_hint(cli, app, who)}")


@command(root, "start", rich_help_panel=PANEL)
async def start(
    cli: Cli,
    agent: AgentName = None,
    run: RunId = None,
    user: User = None,
    all_: All = False,
    reason: Reason = "",
    by: By = None,
) -> None:
    """Let go on what `perdure stop` holds. A run is begun by `perdure run`."""
    who = _meant(cli, agent, run, user, all_=all_)
    async with cli.opened() as app:
        named = _named(app, who)
        woken = await app.go_on(**who, by=operator(by), reason=reason)
    if woken is None:
        raise RunConflict(
            f"{named} is not stopped; `perdure stopped` lists what is, and `perdure run` begins a run"
        )
    runs = "1 run goes" if woken == 1 else f"{woken:,} runs go"
    cli.done(
        f"{named}: started again; {runs} on where it was held" if woken == 1 else
        f"{named}: started again; {runs} on where they were held",
        {**_told(app, who), "stopped": False, "runs": woken},
    )  # fmt: skip


@command(root, "stopped", rich_help_panel=PANEL)
async def stopped(cli: Cli) -> None:
    """List what is stopped, since when, by whom, and why."""
    async with cli.opened() as app:
        found = await app.stopped()
        now = app.store.now()
    if cli.json:
        cli.answer([_json(one) for one in found])
        return
    if not found:
        cli.note("nothing is stopped; `perdure stop AGENT` holds an agent, `perdure stop --all` everything")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [r.who.what, Text(safe(r.who.name), style="bold"), ago(r.at, now), safe(r.by), safe(r.reason)]
        for r in found
    ]
    cli.out.print(listing(("what", "name", "since", "by", "why"), rows, cli.out, squeeze=((1, 12), (4, 0))))


def _meant(cli: Cli, agent: str | None, run: str | None, user: str | None, *, all_: bool) -> dict[str, Any]:
    """What is meant, as `App.stop` takes it. Raises `ConfigError`."""
    given = {"agent": agent, "run": run, "user": user}
    who: dict[str, Any] = {what: name for what, name in given.items() if name is not None}
    if all_:
        who["everything"] = True
    if not who and cli.given.tenant is not None:
        who["whole_tenant"] = True
    if len(who) != 1:
        raise ConfigError("name one of AGENT, `--run RUN`, `--user NAME`, `--tenant NAME` and `--all`")
    return who


def _named(app: App, who: dict[str, Any]) -> str:
    what, name = next(iter(who.items()))
    match what:
        case "everything":
            return "all of the store"
        case "whole_tenant":
            return f"tenant `{app.tenant}`"
        case _:
            return f"{what} `{name}`"


def _told(app: App, who: dict[str, Any]) -> dict[str, Any]:
    what, name = next(iter(who.items()))
    return {"all": True} if what == "everything" else {"tenant": app.tenant} if name is True else {what: name}


def _hint(cli: Cli, app: App, who: dict[str, Any]) -> str:
    what, name = next(iter(who.items()))
    match what:
        case "agent":
            return cli.hint("start", name)
        case "everything":
            return cli.hint("start", "--all")
        case "whole_tenant":
            return cli.hint("start")
        case _:
            return cli.hint("start", f"--{what}", name)


def _json(one: Revocation) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "tenant": None if one.who.what == "all" else one.tenant,
        "what": one.who.what,
        "name": one.who.name,
        "by": one.by,
        "reason": one.reason,
        "at": iso(one.at),
    }
