"""Who is asked before a call, in which order, and what happens when nobody answers.

@app.tool(needs_approval=True)                                           anybody but who started the run
@app.tool(needs_approval=Approvers("finance"))                           a group
@app.tool(needs_approval=Approvers("ann", "finance", within=hours(4)))   ann first; after four hours the group
@app.tool(needs_approval=Approvers("finance", signed=True))              who answers signs it
@app.tool(needs_approval=lambda amount: amount > 100)                    only then
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

import pydantic_core

from ...core.codec import arguments_bytes
from ...core.errors import ConfigError, Unserialisable

__all__ = ["Approvers", "OnExpiry", "check_rule"]

OnExpiry = Literal["deny", "approve", "default"]


@dataclass(frozen=True, slots=True, init=False)
class Approvers:
    """A route: those who are asked, one after the other, until somebody answers.

    Each place of the route is a person, a group of `[approvals.groups]`, or a list of those. Without any, everybody may
    answer who may approve at all.
    """

    route: tuple[tuple[str, ...], ...]
    within: timedelta | None
    """how long each place has; None: as the settings say"""
    on_expiry: OnExpiry
    """what holds when the last place has not answered either: a no, a yes, or `default` in place of the call"""
    default: Any
    """with `on_expiry="default"`: what the call returns, as JSON; it is not made"""
    remind: timedelta | None
    """they are reminded once in this time"""
    editable: bool | tuple[str, ...]
    """whether arguments may be changed with the approval: all, none, or those that are named"""
    signed: bool
    """whether an answer counts only with its author's signature, also where the settings ask for none"""

    def __init__(
        self,
        *to: str | Sequence[str],
        within: timedelta | None = None,
        on_expiry: OnExpiry = "deny",
        default: Any = None,
        remind: timedelta | None = None,
        editable: bool | Sequence[str] = True,
        signed: bool = False,
    ) -> None:
        """Raises `ConfigError`."""
        route = tuple((place,) if isinstance(place, str) else tuple(place) for place in to)
        for place in route:
            if not place or not all(isinstance(name, str) and name.strip() for name in place):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
                raise ConfigError(f"approvers: `{list(place)}` names nobody: give people or groups")
        for what, time in (("within", within), ("remind", remind)):
            if time is not None and time <= timedelta():
                raise ConfigError(f"approvers: `{what}={time}` is not a time above nothing")
        if on_expiry not in get_args(OnExpiry):
            raise ConfigError(f"approvers: `on_expiry={on_expiry}` is not one of deny, approve, default")
        if default is not None and on_expiry != "default":
            raise ConfigError(f'approvers: `default={default!r}` is of no use without `on_expiry="default"`')
        if signed and on_expiry == "approve":
            raise ConfigError(
                'approvers: `signed=True` and `on_expiry="approve"` say that silence is a signature; leave one out'
            )
        try:
            value = pydantic_core.from_json(arguments_bytes(default)[1:-1])
        except Unserialisable as error:
            raise ConfigError(f"approvers: `default={default!r}` is nothing that JSON can say") from error
        fields = {
            "route": route,
            "within": within,
            "on_expiry": on_expiry,
            "default": value,
            "remind": remind,
            "editable": editable if isinstance(editable, bool) else tuple(editable),
            "signed": bool(signed),
        }
        for name, given in fields.items():
            object.__setattr__(self, name, given)

    def may_edit(self, name: str) -> bool:
        """Whether that argument may be changed."""
        return self.editable if isinstance(self.editable, bool) else name in self.editable

    def told(self) -> dict[str, Any]:
        """For the journal: a run goes by the route that was open when it asked."""
        return {
            "route": self.route,
            "within": None if self.within is None else self.within.total_seconds(),
            "on_expiry": self.on_expiry,
            **({"default": self.default} if self.on_expiry == "default" else {}),
            "remind": None if self.remind is None else self.remind.total_seconds(),
            "editable": self.editable,
            **({"signed": True} if self.signed else {}),
        }

    @classmethod
    def recorded(cls, told: dict[str, Any]) -> Approvers:
        """From the journal."""
        return cls(
            *told["route"],
            within=None if told["within"] is None else timedelta(seconds=told["within"]),
            on_expiry=told["on_expiry"],
            default=told.get("default"),
            remind=None if told["remind"] is None else timedelta(seconds=told["remind"]),
            editable=told["editable"],
            signed=told.get("signed", False),
        )


def check_rule(tool: str, rule: Any, signature: inspect.Signature, handed: Container[str]) -> None:
    """Whether `needs_approval` can be used with such a tool. Raises `ConfigError`."""
    if rule is None or isinstance(rule, bool | Approvers):
        return
    if not callable(rule):
        raise ConfigError(
            f"tool `{tool}`: `needs_approval={rule!r}` is none of True, Approvers(...), and a function of the arguments"
        )
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return  # a tool of somebody else's, whose parameters are not known before it is called
    names = _names(rule)
    there = {name for name in signature.parameters if name not in handed}
    strange = [] if names is None else sorted(names - there)
    if strange:
        raise ConfigError(
            f"tool `{tool}`: its `needs_approval` takes {', '.join(f'`{n}`' for n in strange)}, which the tool does "
            f"not; the tool takes {', '.join(f'`{n}`' for n in sorted(there)) or 'no arguments'}"
        )


def arguments_for(rule: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Those that the rule asks for; defaults that were not given are the rule's own."""
    names = _names(rule)
    return arguments if names is None else {k: v for k, v in arguments.items() if k in names}


def _names(rule: Callable[..., Any]) -> set[str] | None:
    parameters = inspect.signature(rule).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}
