"""What a desk is: what its agent has at hand, what it is asked for, and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "CALLS",
    "TRUSTED",
    "UNTRUSTED",
    "Domain",
    "Step",
    "Task",
    "ToolSpec",
    "gate",
    "untrusted",
    "unvouched",
]

Step = tuple[str, dict[str, Any]]
"""A call of a tool, with its arguments."""


@dataclass(frozen=True)
class ToolSpec:
    name: str
    effect: str
    parameters: dict[str, type]
    labels: tuple[str, ...] = ()
    zone: str = "default"


@dataclass(frozen=True)
class Task:
    name: str
    asked: str
    """in the user's words"""
    steps: Sequence[Step]
    """what a diligent agent does"""


@dataclass(frozen=True)
class Domain:
    name: str
    policies: str
    tools: Sequence[ToolSpec]
    world: dict[str, Any]
    """what the tools that read give, by `TOOL ARGUMENT` or `TOOL`"""
    tasks: Sequence[Task]


CALLS = """
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in [Action::"idempotent", Action::"write"], resource);
"""


def gate(id: str, tool: str, when: str, reason: str) -> str:
    return (
        f'@id("{id}") @gate("human") @role("user") @reason("{reason}")\n'
        f'forbid (principal, action == Action::"{tool}", resource) when {{ {when} }} '
        'unless { context.approvals.contains("user") };\n'
    )


def unvouched(*names: str) -> str:
    return " || ".join(f'context.unvouched.contains("{name}")' for name in names)


def untrusted(*names: str) -> str:
    return " || ".join(f'context.untrusted.contains("{name}")' for name in names)


UNTRUSTED, TRUSTED = ("untrusted",), ("trusted",)
