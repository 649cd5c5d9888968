"""Forms that hold what acts, and let it go on. They stand on the agent's page and on `/fleet`; both ask twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast, get_args

from starlette.responses import Response

from ...access.callers import Role
from ...access.stops import Target, What, lift, may_stop, stop
from ...core.errors import InvalidInput, RunConflict
from ...governance import Revocation
from ..rooms import Page
from ..visit import Visit

__all__ = ["STOPS", "Held", "held", "told"]

DONE = {
    "stopped": "It is stopped before its next effect, on every worker.",
    "stopped-before": "It was stopped already, and stays so for the reason that was given then.",
    "lifted": "It goes on where it was held.",
}
"""What the page says afterwards, by the word in its address: nobody else's words can stand there."""

_MANY = frozenset({"tenant", "everything"})
"""What stops so much that it takes one more look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that is held, for a notice."""

    target: Target
    by: str
    reason: str
    at: int
    """microseconds"""
    mine: bool
    """whether the reader may let it go on"""


async def held(visit: Visit, *, agent: str | None = None) -> list[Held]:
    """What is held in the reader's tenant, what holds most first; with `agent` only what holds all of its runs."""
    found = [_held(visit, one) for one in await visit.app.stopped(tenant=visit.tenant)]
    if agent is not None:
        found = [one for one in found if one.target == ("agent", agent) or one.target.what in _MANY]
    order = ("everything", "tenant", "agent", "user", "run")
    return sorted(found, key=lambda one: (order.index(one.target.what), one.target.name or ""))


def told(visit: Visit) -> dict[str, Any]:
    """What the templates of forms need: who may, and what was done."""
    return {
        "may_stop": visit.me.may(Role.OPERATOR),
        "may_stop_all": may_stop(visit.app, Target("everything"), visit.me),
        "stop_done": DONE.get(visit.given("done")),
    }


def _held(visit: Visit, one: Revocation) -> Held:
    target = Target.of(one)
    mine = may_stop(visit.app, target, visit.me)
    return Held(target=target, by=one.by, reason=one.reason, at=one.at, mine=mine)


async def hold(visit: Visit) -> Response:
    """Hold it."""
    target = _target(visit)
    reason = visit.given("reason")
    if not reason:
        raise InvalidInput("say why: it stands in the journal of each run that it meets")
    if target.what in _MANY and visit.given("sure") != "yes":
        raise InvalidInput(f"say that you mean it: all runs of {target} would wait")
    fresh = await stop(visit.app, target, visit.me, reason=reason)
    return visit.to(_back(visit, target), done="stopped" if fresh else "stopped-before")


async def go_on(visit: Visit) -> Response:
    """Let it go on."""
    target = _target(visit)
    if await lift(visit.app, target, visit.me, reason=visit.given("reason")) is None:
        raise RunConflict(f"{target} is not stopped any more")
    return visit.to(_back(visit, target), done="lifted")


def _target(visit: Visit) -> Target:
    what = visit.given("what")
    if what not in get_args(What):
        raise InvalidInput("say what is meant: an agent, a run, a user's runs, the tenant or everything")
    meant = cast("What", what)
    return Target(meant) if meant in _MANY else Target(meant, visit.given("name") or None)


def _back(visit: Visit, target: Target) -> str:
    """The page from which it came."""
    return f"/agents/{target.name}" if target.what == "agent" and visit.given("from") == "agent" else "/fleet"


STOPS = (
    Page(path="/stops", handler=hold, role=Role.OPERATOR, method="POST"),
    Page(path="/stops/lift", handler=go_on, role=Role.OPERATOR, method="POST"),
)
"""The forms' addresses."""
