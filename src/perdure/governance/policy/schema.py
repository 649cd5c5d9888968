"""The Cedar schema of an app: its agents and tools, and what a policy can ask about a call.

    permit (principal, action, resource)         Agent::"desk", Action::"pay", Tool::"pay"
        when { context.args.cents <= 5000 && context.user.grants.contains("payments:write") };

Each tool is an action of its own, so that `context.args` has the tool's own arguments, in the group of its effect:
`action in Action::"write"`. Strict: a policy that asks for what is not here does not load.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import ConfigError
from .shapes import cedar_record

__all__ = ["ANSWER", "ANSWER_FORM", "EFFECTS", "PolicySchema", "ToolForm"]

EFFECTS = ("read", "idempotent", "write")
_TEXTS: dict[str, Any] = {"type": "Set", "element": {"type": "String"}}
_STRING: dict[str, Any] = {"type": "String"}
_LONG: dict[str, Any] = {"type": "Long"}
_BOOL: dict[str, Any] = {"type": "Boolean"}
_DECIMAL: dict[str, Any] = {"type": "Extension", "name": "decimal"}

CONTEXT: dict[str, dict[str, Any]] = {
    "approvals": _TEXTS,
    "user": {
        "type": "Record",
        "attributes": {"name": {**_STRING, "required": False}, "verified": _BOOL, "grants": _TEXTS},
    },
    "tenant": _STRING,
    "task": {**_STRING, "required": False},
    "called": _TEXTS,
    "seen": _TEXTS,
    "untrusted": _TEXTS,
    "unvouched": _TEXTS,
    "confidence": _DECIMAL,
    "unknowns": _TEXTS,
    "spent": _LONG,
    "hour": _LONG,
    "weekday": _LONG,
    "ring": _STRING,
}
"""What stands in the context of every call beside `args`.

`approvals`: roles that have approved it. `user`: on whose behalf. `task`: what the run was started for. `called`: tools
that it has called. `seen`: labels of what it has read. `untrusted`: arguments with values that only untrusted sources
hold; `unvouched`: those that neither the input nor a source labelled trusted holds. Both are empty where the program
itself calls. `confidence`: how sure the model says that it is, 0 to 1; `unknowns`: what it says that it does not know.
A policy that looks at either has the model asked for both; see `stated`. `spent`: cents so far. `hour`, `weekday`: UTC,
1 is Monday. `ring`: the agent's trust ring for the tool, `none` where there is none; reads have none.
"""


@dataclass(frozen=True, slots=True)
class ToolForm:
    """What a policy knows of a tool."""

    name: str
    effect: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """their JSON schema"""
    labels: frozenset[str] = frozenset()
    """of what it returns"""
    clearance: frozenset[str] = frozenset()
    """labels of data that may go into it"""
    zone: str = "default"


ANSWER = "final answer"
"""The action of a run that ends with what a model has answered. It is judged where a policy names it."""
ANSWER_FORM = ToolForm(ANSWER, "read", {"type": "object", "properties": {"result": {}}})
"""`context.args.result`: the result in JSON."""


class PolicySchema:
    """The schema, and the entities that do not change."""

    def __init__(self, agents: Iterable[str], tools: Iterable[ToolForm]) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.agents = sorted(set(agents))
        for name in self.tools:
            if name in EFFECTS:
                raise ConfigError(
                    f"a tool cannot be called `{name}` where policies are used: that is the group of all such tools"
                )
        self.arguments = {name: cedar_record(tool.arguments) for name, tool in self.tools.items()}

    def text(self) -> str:
        """The schema in Cedar's JSON form."""
        actions: dict[str, Any] = {effect: {} for effect in EFFECTS}
        for name, tool in self.tools.items():
            actions[name] = _action(tool.effect, self.arguments[name])
        # A policy for all reads is right also where an app has none (yet): a framework's agent brings its own.
        for effect in set(EFFECTS) - {tool.effect for tool in self.tools.values()}:
            actions[f"a {effect} that there is not"] = _action(effect, cedar_record({}))
        entities: dict[str, Any] = {
            "Agent": {"shape": {"type": "Record", "attributes": {"name": _STRING}}},
            "Tool": {
                "shape": {
                    "type": "Record",
                    "attributes": {
                        "name": _STRING,
                        "effect": _STRING,
                        "zone": _STRING,
                        "labels": _TEXTS,
                        "clearance": _TEXTS,
                    },
                }
            },
        }
        return json.dumps({"": {"entityTypes": entities, "actions": actions}}, sort_keys=True)

    def entities(self) -> str:
        """The agents and tools, in Cedar's JSON form."""
        made: list[dict[str, Any]] = [
            {"uid": {"type": "Agent", "id": name}, "attrs": {"name": name}, "parents": []}
            for name in self.agents
        ]
        for tool in self.tools.values():
            attributes = {
                "name": tool.name,
                "effect": tool.effect,
                "zone": tool.zone,
                "labels": sorted(tool.labels),
                "clearance": sorted(tool.clearance),
            }
            made.append({"uid": {"type": "Tool", "id": tool.name}, "attrs": attributes, "parents": []})
        return json.dumps(made, sort_keys=True)


def _action(effect: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    context = {"type": "Record", "attributes": {**CONTEXT, "args": arguments}}
    applies = {"principalTypes": ["Agent"], "resourceTypes": ["Tool"], "context": context}
    return {"memberOf": [{"id": effect}], "appliesTo": applies}
