"""Runs: the row of a list, one run, its entries; and what can be asked of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ...core.spending_settings import LimitSettings
from .base import Asked, Json, Moment, Told
from .costs import FiguresOut

__all__ = [
    "Accepted",
    "Cancel",
    "EntryOut",
    "Fork",
    "Resume",
    "RetryRun",
    "RunId",
    "RunOut",
    "RunResult",
    "Settle",
    "Signal",
    "StartRun",
    "Status",
    "Taken",
]

RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~@-]{0,199}$")]
"""What can name a run."""

Status = Literal[
    "pending",
    "running",
    "waiting",
    "succeeded",
    "partial",
    "escalated",
    "failed",
    "cancelled",
    "quarantined",
]
"""Where a run stands; see `perdure.RunStatus`."""


class RunOut(Told):
    """A run as it stands."""

    run: str = Field(examples=["desk-3f0c9a71d2b4"])
    tenant: str = Field(examples=["default"])
    agent: str = Field(examples=["desk"])
    version: str = Field(examples=["1"])
    status: Status
    reasons: list[str] = Field(examples=[["approval"]])
    """why it waits, or how it ended in one line"""
    labels: dict[str, str]
    priority: int
    needs: list[str]
    parent: str | None
    principal: str | None
    """for whom it acts: `user:ann`"""
    subject: str | None
    """whose data it handles"""
    created_at: datetime
    updated_at: datetime
    deadline: datetime | None
    next_wake: datetime | None
    ended_at: datetime | None
    pruned_at: datetime | None
    entries: int
    """how many there are: the `seq` of the last"""
    generation: int
    results: int
    """steps that have a result"""
    unclean: int
    """its worker's deaths, one after the other, without a new result"""
    unread_messages: int
    progress: dict[str, Json] | None
    met: bool | None = None
    """whether it met its goal; null: nobody has said"""
    figures: FiguresOut | None = None
    """what its journal adds up to; null: not counted yet, which takes about a second"""


class EntryOut(Told):
    """One fact of a run's journal."""

    seq: int
    kind: str = Field(examples=["result"])
    key: str
    """of its step; empty for what concerns the run"""
    at: datetime
    took_us: int
    actor: str
    epoch: int
    erased: bool
    """its payload was taken away, or is sealed"""
    withheld: bool = False
    """its payload is there, and not for whoever asks: it takes the role `operator`, `approver` or `auditor`"""
    payload: Json


class StartRun(Asked):
    """A run to be accepted."""

    agent: str = Field(min_length=1, max_length=200, examples=["desk"])
    input: Json = None
    run_id: RunId | None = None
    """the same id is the same run, however often it is asked for; else the header `Idempotency-Key` says so"""
    labels: dict[str, str] | None = Field(default=None, max_length=64)
    deadline: Moment | None = None
    """cancelled when that has passed"""
    priority: int | None = Field(default=None, ge=-1000, le=1000)
    needs: list[str] | None = Field(default=None, max_length=64)
    """labels of the worker that is to run it"""
    on_behalf_of: str | None = Field(default=None, max_length=20_000)
    """the token of the user for whom it acts, of an issuer that is configured; else it acts for whoever asks"""
    subject: str | None = Field(default=None, min_length=1, max_length=200)
    """whose data it handles"""
    budget: LimitSettings | None = None


class Accepted(Told):
    """A run that is on disk."""

    run: str = Field(examples=["desk-3f0c9a71d2b4"])
    tenant: str = Field(examples=["default"])
    fresh: bool
    """false: it was there before"""


class Taken(Told):
    """A message that is on disk."""

    run: str
    fresh: bool
    """false: it was there before"""


class Signal(Asked):
    """A message to a run."""

    name: str = Field(min_length=1, max_length=100, examples=["reply"])
    """what `run.receive(NAME)` waits for"""
    payload: Json = None
    message_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~@/: -]{0,199}$")
    """sent twice under one id, it counts once"""


class Cancel(Asked):
    """How a run is to be cancelled."""

    reason: str = Field(default="", max_length=2000)
    terminate: bool = False
    """end it now, without asking its code to clean up"""
    compensate: bool = False
    """undo what it has done before it ends"""


class Resume(Asked):
    """How a run is to go on."""

    reset: bool = False
    """release it from quarantine: its deaths are forgotten"""


class Settle(Asked):
    """What is known of a write in doubt."""

    step: str = Field(min_length=1, max_length=1000)
    happened: bool
    result: Json = None
    """what it returned, where it happened"""
    proof: str | dict[str, Json] | None = None
    """the signature of whoever says so, where answers are signed: `perdure.sign_settlement`"""


class RetryRun(Asked):
    """How a run that has ended is to be tried again."""

    run_id: RunId | None = None
    version: str | None = Field(default=None, min_length=1, max_length=200)
    force: bool = False
    """also where it succeeded"""


class Fork(Asked):
    """Where a new run is to leave the old one."""

    from_step: str = Field(min_length=1, max_length=1000)
    input: Json = None
    """left out: that of its source"""
    run_id: RunId | None = None
    version: str | None = Field(default=None, min_length=1, max_length=200)


class RunResult(Told):
    """How a run ended."""

    run: str
    status: Status
    result: Json = None
    why: str | None = None
    missing: tuple[str, ...] = ()
    """of one that ended `partial`: what there is not"""
    error: dict[str, Json] | None = None
