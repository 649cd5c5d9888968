"""What `perdure doctor` finds of OpenAPI documents and databases that agents use: they are asked, nothing is called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...core.errors import PerdureError
from ..command import Cli

if TYPE_CHECKING:
    from ...app import App

__all__ = ["tool_sources"]

Line: TypeAlias = tuple[str, Literal["ok", "warn", "fail"], str, str]
"""What was looked at, `ok`, `warn` or `fail`, what was found, and what to do about it."""


async def tool_sources(cli: Cli) -> AsyncIterator[Line]:
    """A line or more for each."""
    if not cli.settings.openapi and not cli.settings.database:
        return
    async with cli.opened() as app:
        for name in sorted(app.openapi.settings):
            yield await _document(app, name)
        for name in sorted(app.databases.settings):
            async for line in _database(app, name):
                yield line


async def _document(app: App, name: str) -> Line:
    try:
        tools = await app.openapi.ls(name)
    except PerdureError as error:
        return "openapi", "fail", f"`{name}`: {error}", "its calls are refused until then"
    open_ = [tool for tool in tools if tool.state != "reviewed"]
    if not open_:
        return "openapi", "ok", f"`{name}`: {len(tools)} operations, as they were reviewed", ""
    states = ", ".join(f"{sum(t.state == s for t in open_)} {s}" for s in sorted({t.state for t in open_}))
    return "openapi", "warn", f"`{name}`: {states}", f"`perdure openapi diff {name}` shows them"


async def _database(app: App, name: str) -> AsyncIterator[Line]:
    try:
        warnings = await app.databases.warnings(name)
    except PerdureError as error:
        yield "database", "fail", f"`{name}`: {error}", f"`perdure databases check {name}`"
        return
    for warning in warnings:
        yield "database", "warn", f"`{name}`: {warning}", f"`perdure databases check {name}`"
    if not warnings:
        yield "database", "ok", f"`{name}` can be read, and no more", ""
