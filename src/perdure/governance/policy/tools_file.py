"""`tools.json` beside the policies: tools that the program does not register, so that policies can name them.

What an MCP server or an OpenAPI document offers is known when somebody has reviewed it, and stands in the store.
Policies are checked before any store is there. So the forms of such tools are written down beside them, and versioned
with them: `perdure policy tools` writes the file, `--check` fails where it is old. A call brings its own form in any
case: what the file says wrong lets nothing pass that the policies would not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...core.errors import ConfigError
from .schema import ToolForm

__all__ = ["TOOLS_FILE", "read_tools", "tools_text"]

TOOLS_FILE = "tools.json"


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    effect: Literal["read", "idempotent", "write"]
    arguments: dict[str, Any]
    """JSON schema"""
    labels: tuple[str, ...] = ()


_FILE = TypeAdapter(list[_Told])


def read_tools(folder: Path) -> list[ToolForm]:
    """The tools that stand beside the policies in a folder. Raises `ConfigError`."""
    path = folder / TOOLS_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error}") from error
    try:
        found = _FILE.validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"`{path}`: {where + ': ' if where else ''}{first['msg']}; `perdure policy tools` writes it anew"
        ) from None
    names = [told.name for told in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"`{path}` has `{min(twice)}` twice; `perdure policy tools` writes it anew")
    return [ToolForm(t.name, t.effect, t.arguments, frozenset(t.labels)) for t in found]


def tools_text(tools: Iterable[ToolForm]) -> str:
    """The text of such a file: the same for the same tools."""
    told = [
        {"name": t.name, "effect": t.effect, "arguments": t.arguments, "labels": sorted(t.labels)}
        for t in sorted(tools, key=lambda tool: tool.name)
    ]
    return (
        json.dumps(pydantic_core.to_jsonable_python(told), indent=2, sort_keys=True, ensure_ascii=False)
        + "\n"
    )
