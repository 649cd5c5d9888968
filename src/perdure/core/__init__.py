"""Errors, ids, time, values and settings: what everything else stands on."""

from .clock import Clock, SystemClock, from_micros, to_micros
from .ids import DEFAULT_TENANT, RunRef, check_id, check_step_name, new_id

__all__ = [
    "DEFAULT_TENANT",
    "Clock",
    "RunRef",
    "SystemClock",
    "check_id",
    "check_step_name",
    "from_micros",
    "new_id",
    "to_micros",
]
