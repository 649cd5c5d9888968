"""Which policies can have a say in a call of a tool by an agent, and whether the call matters to them at all.

By a policy's head: `principal == Agent::"desk"`, `action in Action::"write"`, `resource == Tool::"pay"`. Asking only
those keeps a verdict cheap where there are many; and where none of them looks at the context, it is the same for every
call, and is asked for once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

__all__ = ["asks_how_sure", "looks_at_the_call", "names_action", "reaches"]


def reaches(template: Any, *, agent: str, tool: str, effect: str) -> bool:
    """Whether the head of a policy fits. In doubt it does."""
    return (
        _fits(template.principal, "Agent", agent)
        and _fits(template.resource, "Tool", tool)
        and _acts(template.action, tool, effect)
    )


def looks_at_the_call(template: Any) -> bool:
    """Whether anything but agent and tool decides: then its verdict has to be asked for with each call."""
    return any(
        type(node).__name__ == "Var" and node.name == "context"
        for clause in template.clauses
        for node in _nodes(clause)
    )


def asks_how_sure(template: Any) -> bool:
    """Whether a policy looks at what the model states of itself."""
    return any(
        type(node).__name__ == "GetAttr"
        and getattr(node.base, "name", None) == "context"
        and node.attr in ("confidence", "unknowns")
        for clause in template.clauses
        for node in _nodes(clause)
    )


def names_action(template: Any, action: str) -> bool:
    """Whether the head of a policy says that action in so many words, and not all, or a group."""
    head = template.action
    match type(head).__name__:
        case "ActionEq":
            return head.entity.id == action
        case "ActionIn":
            return any(entity.id == action for entity in head.entities)
        case _:
            return False


def _fits(head: Any, kind: str, name: str) -> bool:
    match type(head).__name__:
        case "ScopeEq" | "ScopeIn":  # nothing here is in anything else
            entity = head.entity
            return not hasattr(entity, "id") or (entity.type.basename == kind and entity.id == name)
        case "ScopeIs":
            return head.entity_type.basename == kind
        case _:
            return True


def _acts(head: Any, tool: str, effect: str) -> bool:
    match type(head).__name__:
        case "ActionEq":
            return head.entity.id == tool
        case "ActionIn":
            return any(entity.id in (tool, effect) for entity in head.entities)
        case _:
            return True


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    if isinstance(node, dict):
        below = list(cast("dict[Any, Any]", node).values())
    elif isinstance(node, tuple):
        below = list(cast("tuple[Any, ...]", node))
    else:
        names: Iterable[str] = getattr(node, "__dataclass_fields__", ())
        below = [getattr(node, name) for name in names]
    for each in below:
        yield from _nodes(each)
