"""A tool as its source describes it (an MCP server, an OpenAPI document), and the digest by which a review pins it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..core.errors import ConfigError

__all__ = ["Definition", "apart", "offered_name"]

_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 64


class Definition(BaseModel):
    """All of a tool that a model, a policy or a person goes by. What is not in it changes nothing."""

    model_config = ConfigDict(frozen=True)

    name: str
    """as its source has it"""
    title: str | None = None
    description: str | None = None
    arguments: dict[str, Any]
    """JSON schema"""
    result: dict[str, Any] | None = None
    """JSON schema, where the source gives one"""
    annotations: dict[str, Any] = {}
    """what else the source says of it: an MCP server's hints, how an operation of an OpenAPI document is called"""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in a form that does not depend on the order of keys."""
        told = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        )
        return hashlib.sha256(told.encode()).hexdigest()

    def effect(self, *, trusted: bool) -> Literal["read", "idempotent", "write"]:
        """What it does to the world, by its annotations; of a server that is not trusted always a `write`."""
        if trusted and self.annotations.get("readOnlyHint") is True:
            return "read"
        if trusted and self.annotations.get("idempotentHint") is True:
            return "idempotent"
        return "write"

    def changes(self, other: Definition) -> list[str]:
        """The parts in which another differs."""
        return [name for name in Definition.model_fields if getattr(self, name) != getattr(other, name)]


def offered_name(source: str, tool: str, *, called: str = "MCP server") -> str:
    """The name that models, policies and journals know a tool by: `source__tool`.

    Raises `ConfigError` where none can be made of it.
    """
    made = f"{source}__{_OTHER.sub('_', tool)}"
    if not tool or len(made) > _LONGEST:
        raise ConfigError(
            f"{called} `{source}`: its tool `{tool[:80]}` would be called `{made[:80]}`, which models do not take: "
            f"a name has at most {_LONGEST} characters. Give the {called} a shorter name, or leave the tool out of it"
        )
    return made


def apart(
    source: str, definitions: Iterable[Definition], *, called: str = "MCP server"
) -> dict[str, Definition]:
    """By name. Raises `ConfigError` where two could be taken for one another: which one is called must be certain."""
    found: dict[str, Definition] = {}
    offered: dict[str, str] = {}
    for definition in definitions:
        name = offered_name(source, definition.name, called=called)
        if name.lower() in offered:
            raise ConfigError(
                f"{called} `{source}` has two tools of one name: `{offered[name.lower()]}` and "
                f"`{definition.name}` are both `{name}`. Neither is used until the {called} has only one"
            )
        offered[name.lower()] = definition.name
        found[definition.name] = definition
    return found
