"""What is held, what people are told without having asked, and who asks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ...core.roles import Role
from .base import Asked, Moment, Told

__all__ = [
    "AcknowledgeAlert",
    "AlertId",
    "AlertOut",
    "DeliveryOut",
    "Lifted",
    "Me",
    "Stop",
    "StopOut",
    "Stopped",
]

AlertId = Annotated[str, StringConstraints(pattern=r"^al-[0-9A-Za-z]{1,40}$")]
"""As the list of alerts has it."""


class Stop(Asked):
    """What is to be held, or to go on."""

    what: Literal["agent", "run", "user", "tenant", "everything"] = Field(examples=["agent"])
    """`tenant` is the caller's; `everything` is every tenant of the store"""
    name: str | None = Field(default=None, min_length=1, max_length=200, examples=["desk"])
    """of the agent, the run or the user; null for the other two"""
    reason: str = Field(default="", max_length=1000)
    """it stands in the journal of each run that it meets"""


class StopOut(Told):
    """Something that is held until somebody lets it go on."""

    what: Literal["agent", "run", "user", "tenant", "everything"]
    name: str | None
    by: str
    reason: str
    at: Moment


class Stopped(Told):
    """No effect of it begins any more, on any worker."""

    fresh: bool
    """false: it was stopped already, and stays so for the reason that was given then"""


class Lifted(Told):
    """It goes on where it was held."""

    runs: int
    """that were told so: those that had come to an effect meanwhile"""


class AlertOut(Told):
    """An alert that is open, or acknowledged and not over."""

    alert: str = Field(examples=["al-0192f3c4d5e6"])
    kind: str = Field(examples=["run_failed"])
    about: str
    subject: str
    """one line"""
    why: str | None
    """null for those who may not see what calls were given and returned"""
    runs: list[str]
    """the latest that it concerns"""
    count: int
    """how often it has happened; of a condition, how many runs it concerns"""
    state: Literal["open", "acknowledged"]
    by: str | None
    """who has taken it"""
    note: str
    first_at: Moment
    last_at: Moment
    told: int
    """how often people were told"""
    runbook: str
    """where the page is that says what to do"""


class AcknowledgeAlert(Asked):
    """Somebody has taken an alert."""

    note: str = Field(default="", max_length=1000)


class DeliveryOut(Told):
    """Whether a contact was reached."""

    to: str
    delivered: bool
    error: str | None


class Me(Told):
    """Who asks, as the server knows them."""

    subject: str = Field(examples=["user:ann"])
    tenant: str
    roles: list[Role]
    via: str = Field(examples=["key:k-17"])
    """how they have proved it: `session:ID`, `key:ID`, `token:ISSUER`"""
    sees_payloads: bool
    """whether they may see what calls were given and returned"""
