"""The tables `[hooks]` and `[webhooks]` of `perdure.toml`: what comes in signed, and what is sent away signed.

[hooks.shop]                       # POST /api/v1/hooks/shop
secret_env = "SHOP_SECRET"
start = "desk"                     # a run of this agent; or
signal = "reply"                   # a message to the run that `run` names in the body
run = "data.order.id"
payload = "data"

[webhooks.crm]
url = "https://crm.example.org/perdure"
secret_env = "CRM_SECRET"
events = ["run.ended", "approval.*"]
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = ["HookName", "HookSettings", "WebhookSettings"]

HookName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""What names a hook: it stands in its address."""

_Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]


class HookSettings(BaseModel):
    """Something that sends signed webhooks here (Standard Webhooks)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_env: str
    """the environment's variable that holds the secret by which they are signed (`whsec_...`, or any text)"""
    start: str | None = None
    """the agent of which each starts a run, with the body as its input"""
    signal: str | None = None
    """the name of the message that each is to a run"""
    run: _Path | None = None
    """where in the body the run's id is; of a start without it, the id follows from the webhook's"""
    payload: _Path | None = None
    """where in the body the input or the message is; None: all of it"""

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if (self.start is None) == (self.signal is None):
            raise ValueError("give one of `start` (an agent) and `signal` (a message's name)")
        if self.signal is not None and self.run is None:
            raise ValueError("a `signal` is to a run: say where in the body its id is, as `run`")
        return self


class WebhookSettings(BaseModel):
    """Somebody who is told what happens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://")
    secret_env: str
    """the environment's variable that holds the secret by which they are signed"""
    events: tuple[str, ...] = ("run.ended",)
    """what they are told of, with `*` for any letters: the kinds of facts of `docs/audit.md`"""
    contents: bool = False
    """also what was written, shown and returned: it may be personal"""
