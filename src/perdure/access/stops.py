"""Who may hold what: of their own tenant an operator, of all tenants an admin of the one whose server this is."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from ..app import App
from ..core.errors import ConfigError, Forbidden
from ..governance import Revocation
from .callers import Caller, Role

__all__ = ["Target", "What", "lift", "may_stop", "stop"]

What: TypeAlias = Literal["agent", "run", "user", "tenant", "everything"]

_NAMED = ("agent", "run", "user")


class Target(NamedTuple):
    """What is to be held, or is."""

    what: What
    name: str | None = None
    """of an agent, a run or a user; a tenant is always the caller's"""

    @classmethod
    def of(cls, held: Revocation) -> Target:
        """What a stop is about."""
        match held.who.what:
            case "all":
                return cls("everything")
            case "tenant":
                return cls("tenant")
            case what:
                return cls(what, held.who.name)

    def __str__(self) -> str:
        if self.what == "everything":
            return "everything"
        return "the tenant" if self.what == "tenant" else f"{self.what} `{self.name}`"


async def stop(app: App, target: Target, caller: Caller, *, reason: str = "") -> bool:
    """Hold it, in the caller's name. False: it was stopped already.

    Raises `Forbidden`, and `ConfigError` for what names nothing.
    """
    meant = _meant(app, target, caller)
    return await app.stop(**meant, by=caller.subject, reason=reason, tenant=caller.tenant)


async def lift(app: App, target: Target, caller: Caller, *, reason: str = "") -> int | None:
    """Let it go on, in the caller's name. How many runs were told; None: it was not stopped.

    Raises `Forbidden`, and `ConfigError` for what names nothing.
    """
    meant = _meant(app, target, caller)
    return await app.go_on(**meant, by=caller.subject, reason=reason, tenant=caller.tenant)


def may_stop(app: App, target: Target, caller: Caller) -> bool:
    """Whether they may hold it, and let it go on."""
    try:
        _meant(app, target, caller)
    except Forbidden:
        return False
    return True


def _meant(app: App, target: Target, caller: Caller) -> dict[str, Any]:
    """As `App.stop` takes it."""
    caller.require(Role.OPERATOR)
    if (target.what in _NAMED) != bool(target.name):
        raise ConfigError(
            f"a stop of `{target.what}` takes "
            + ("the `name` of one" if target.what in _NAMED else f"no name, and `{target.name}` is one")
        )
    if target.what in _NAMED:
        return {target.what: target.name}
    if target.what == "tenant":
        return {"whole_tenant": True}
    caller.require(Role.ADMIN)
    if caller.tenant != app.tenant:  # an admin of one tenant is nobody in the others
        raise Forbidden(
            f"everything is stopped by an admin of the tenant `{app.tenant}`, and `{caller.subject}` is one of "
            f"`{caller.tenant}`: stop the tenant"
        )
    return {"everything": True}
