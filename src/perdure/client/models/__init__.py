"""What goes over the wire, noun by noun: the API and its clients share these models."""

from .base import Asked, Json, Page, Told
from .health import Health, Readiness
from .problems import Misfit, Problem
from .runs import (
    Accepted,
    Cancel,
    EntryOut,
    Fork,
    Resume,
    RetryRun,
    RunId,
    RunOut,
    RunResult,
    Settle,
    Signal,
    StartRun,
    Status,
    Taken,
)

__all__ = [
    "Accepted",
    "Asked",
    "Cancel",
    "EntryOut",
    "Fork",
    "Health",
    "Json",
    "Misfit",
    "Page",
    "Problem",
    "Readiness",
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
    "Told",
]
