"""What a framework's tool has at hand while it is called: its key, the user's account, a client.

The framework shows a tool's parameters to the model, so none of them can be annotated `EffectKey`, `Credential` or
`Http`. A tool asks for them instead: `credential()`, in its own body.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ...core.credentials import Credential
from ...core.errors import OutsideRun
from ..boundary.handing import EffectKey
from ..boundary.terms import Terms

if TYPE_CHECKING:
    from ..outbound.clients import Http

__all__ = ["at_hand", "credential", "effect_key", "handed_for", "http_client"]

_hand: ContextVar[tuple[EffectKey, Credential | None, Any] | None] = ContextVar("perdure_hand", default=None)


def handed_for(terms: Terms) -> dict[str, str]:
    """The parameters by which such a tool is handed what its terms say, beside the key."""
    found: dict[str, str] = {}
    if terms.credential is not None:
        found["perdure_credential"] = "credential"
    if terms.outbound is not None:
        found["perdure_http"] = "http"
    return found


@contextmanager
def at_hand(key: EffectKey, lent: Credential | None, client: Any) -> Generator[None]:
    """While a tool is called."""
    token = _hand.set((key, lent, client))
    try:
        yield
    finally:
        _hand.reset(token)


def effect_key() -> EffectKey:
    """The idempotency key of the framework's tool that is under way: the same over all attempts at one effect.

    For tools whose parameters the framework shows to the model, so that none can be annotated `EffectKey`. Raises
    `OutsideRun` where no tool of a wrapped agent is under way.
    """
    return _here()[0]


def credential() -> Credential:
    """The user's credential, for the framework's tool that is under way: `@declare("write", credential="github")`.

    Raises `OutsideRun` where no tool of a wrapped agent is under way, or it is not declared to use an account.
    """
    found = _here()[1]
    if found is None:
        raise OutsideRun(
            'this tool is not declared to use an account: say `@declare(..., credential="PROVIDER")`'
        )
    return found


def http_client() -> Http:
    """The client of the framework's tool that is under way: `@declare("read", hosts=["api.github.com"])`.

    It is as that of a parameter annotated `Http`. Raises `OutsideRun` as `credential` does.
    """
    found: Http | None = _here()[2]
    if found is None:
        raise OutsideRun(
            'this tool is not declared to reach anything: say `@declare(..., hosts=["api.example.com"])`'
        )
    return found


def _here() -> tuple[EffectKey, Credential | None, Any]:
    found = _hand.get()
    if found is None:
        raise OutsideRun(
            "no tool of a wrapped agent is under way here: call the agent by `await run.wrap(agent)(...)`"
        )
    return found
