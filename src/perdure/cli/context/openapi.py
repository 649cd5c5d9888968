"""`perdure openapi ls|diff|review`: operations of OpenAPI documents, and which of them somebody has let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..command import Cli, command
from ..runs.steer import By
from ..tree import openapi
from . import reviewing
from .reviewing import Tools, Yes

if TYPE_CHECKING:
    from ...app import App
    from ...app.openapi import AppOpenApi

__all__: list[str] = []

Name = Annotated[str, typer.Argument(metavar="NAME", help="The document, as `[openapi.NAME]` calls it.")]


def _documents(app: App) -> AppOpenApi:
    return app.openapi


@command(openapi, "ls")
async def ls(cli: Cli, name: Name) -> None:
    """List the operations of a document, and whether each is as it was reviewed."""
    await reviewing.ls(cli, _documents, name)


@command(openapi, "diff")
async def diff(cli: Cli, name: Name) -> int:
    """Show what is not as it was reviewed. Exit 1 where anything is not."""
    return await reviewing.diff(cli, _documents, name)


@command(openapi, "review")
async def review(cli: Cli, name: Name, tool: Tools = None, yes: Yes = False, by: By = None) -> None:
    """Show what is new or changed, and let it pass exactly as shown: agents are offered it, and may call it.

    Operations that the document has no more are forgotten, unless only some are named by --tool.
    """
    await reviewing.review(cli, _documents, name, tool=tool, yes=yes, by=by)
