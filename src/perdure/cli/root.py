"""The root of the tree, with the global options. `commands.hang` hangs the commands into it."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

import typer

from .. import __version__
from .command import Globals, global_options
from .tree import root

__all__ = ["root"]


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


def _give_options() -> None:
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


_give_options()
