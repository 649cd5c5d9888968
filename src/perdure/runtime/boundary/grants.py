"""The stage `scope`, as far as users go: what the person for whom a run acts may not do, the run may not do for them.

An agent may do much, as it serves many. Without this a user who may do less would let it do what they may not: the
agent would be a confused deputy. So a tool names the grants that the *user* must have
(`@app.tool(requires="payments:write")`), and whoever was only said to be the user has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import Refused
from ...core.principal import Principal
from ...journal import Kind
from .call import Call, Way

if TYPE_CHECKING:
    from ..replay.recorder import Recorder

__all__ = ["STAGE", "agent_may_run", "child_may_start", "lacking", "let_pass"]

STAGE = "scope"


def lacking(principal: Principal | None, wanted: Iterable[str], *, now: int | None = None) -> frozenset[str]:
    """Those of the `wanted` grants that the principal of a run has not (any more, with `now`)."""
    return frozenset(wanted) if principal is None else principal.lacks(wanted, now=now)


def let_pass(call: Call, way: Way) -> None:
    """Return where the run's principal has what the tool requires of the user; the journal says so where not.

    Raises `Refused`.
    """
    wanted = way.terms.requires
    if not wanted:
        return
    recorder = call.recorder
    lacks = lacking(recorder.on_behalf_of, wanted, now=recorder.store.now())
    if not lacks:
        return
    why = f"`{way.name}` was not called: {_why(recorder.on_behalf_of, lacks, recorder.store.now())}"
    payload = _verdict(recorder, way.name, wanted, lacks, why)
    recorder.write(Kind.VERDICT, call.key, payload, fingerprint=call.mark)
    raise Refused(why)


def child_may_start(
    recorder: Recorder, agent: str, *, requires: frozenset[str], grants: frozenset[str] | None
) -> tuple[Refused, bytes] | None:
    """None where a child with these grants may be started; else the error, and the payload of its VERDICT.

    `grants` is what the child is to have, None: all of this run's; `requires` what its agent cannot do without.
    """
    principal, now = recorder.on_behalf_of, recorder.store.now()
    if lacks := lacking(principal, grants or (), now=now):
        why = f"it would have more than its parent; {_why(principal, lacks, now)}"
    elif lacks := lacking(principal, requires, now=now):
        why = f"it requires more than its parent has; {_why(principal, lacks, now)}"
    elif grants is not None and (lacks := requires - grants):
        why = f"it requires {_listed(lacks)}, which `grants` leaves out"
    else:
        return None
    why = f"child `{agent}` was not started: {why}"
    return Refused(why), _verdict(recorder, agent, requires | (grants or frozenset()), lacks, why)


def agent_may_run(recorder: Recorder, agent: str, requires: frozenset[str]) -> None:
    """Return where the run's principal has what its agent requires; time does not count, so that a replay agrees.

    Raises `Refused`.
    """
    lacks = lacking(recorder.on_behalf_of, requires)
    if lacks:
        raise Refused(f"agent `{agent}` was not run: {_why(recorder.on_behalf_of, lacks, None)}")


def _verdict(recorder: Recorder, name: str, wanted: Iterable[str], lacks: Iterable[str], why: str) -> bytes:
    """The payload of a VERDICT: for whom, by whose word, and what is missing."""
    principal = recorder.on_behalf_of
    told: dict[str, Any] = {
        "stage": STAGE,
        "verdict": "denied",
        "tool": name,
        "principal": None if principal is None else principal.subject,
        "issuer": None if principal is None else principal.issuer,
        "requires": sorted(wanted),
        "lacks": sorted(lacks),
        "why": why,
    }
    return pydantic_core.to_json(told)


def _why(principal: Principal | None, lacks: Iterable[str], now: int | None) -> str:
    missing = _listed(lacks)
    if principal is None:
        return f"this run acts for nobody who was named, and it takes a user with {missing}"
    who = f"`{principal.subject}`"
    if not principal.verified:
        return f"nobody vouched for {who}, who therefore has no grants, and it takes {missing}"
    if now is not None and principal.grants_until is not None and now >= principal.grants_until:
        return f"the grants of {who} have ended since this run was started, and it takes {missing}"
    return f"{who}, for whom this run acts, has not been granted {missing}"


def _listed(grants: Iterable[str]) -> str:
    return " and ".join(f"`{grant}`" for grant in sorted(grants))
