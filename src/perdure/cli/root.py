"""All commands, hung into the tree; the global options."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

import typer

from .. import __version__
from .approvals import answers, approvers, signatures
from .audit import erasing, feed, log, search, verify
from .audit import export as audit_export
from .command import Globals, global_options
from .governance import breakers, budget, cost, policy, policy_changes, policy_trials, stop
from .identity import connections, keys, revocations, vault
from .project import agents, check, demo, doctor, importing, recording, scaffold, tools, torture
from .runs import escalations, forks, outcomes, past, quarantine, run, steer
from .runs import export as runs_export
from .runs import listing as runs_listing
from .store import backups, copying, database
from .tree import root
from .workers import dev, schedules, serve, worker
from .workers import listing as workers_listing

__all__ = ["COMMANDS", "root"]

COMMANDS = (
    scaffold,
    demo,
    run,
    worker,
    serve,
    dev,
    runs_listing,
    runs_export,
    steer,
    forks,
    past,
    answers,
    approvers,
    signatures,
    budget,
    cost,
    erasing,
    escalations,
    outcomes,
    quarantine,
    connections,
    schedules,
    agents,
    tools,
    check,
    torture,
    recording,
    workers_listing,
    breakers,
    policy,
    policy_trials,
    policy_changes,
    stop,
    keys,
    audit_export,
    revocations,
    feed,
    search,
    vault,
    log,
    verify,
    doctor,
    database,
    backups,
    copying,
    importing,
)
"""The modules of commands: to import one is to hang its commands into the tree."""


def _perdure(context: typer.Context, version: bool = False, **given: Any) -> None:
    """A durable runtime for AI agents.

    Exit codes: 0 done, 1 a run did not succeed or a check failed, 2 bad input, 3 store, 4 not found, 5 conflict.
    """
    if version:
        print(json.dumps({"version": __version__}) if given["json"] else f"perdure {__version__}")
        raise typer.Exit
    context.obj = Globals(**given)
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def _hang() -> None:
    keyword = inspect.Parameter.KEYWORD_ONLY
    flag = Annotated[
        bool, typer.Option("--version", help="Say which release this is.", rich_help_panel="Everywhere")
    ]
    parameters = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        inspect.Parameter("version", keyword, default=False, annotation=flag),
    ]
    for name, annotation in global_options(hidden=False).items():
        default = {"json": False, "verbose": 0}.get(name)
        parameters.append(inspect.Parameter(name, keyword, default=default, annotation=annotation))
    _perdure.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    _perdure.__annotations__ = {p.name: p.annotation for p in parameters}
    root.callback(invoke_without_command=True)(_perdure)


_hang()
