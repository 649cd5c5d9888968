"""The torture chamber: an agent under every schedule of faults, held to what must hold.

report = await torture(desk.app, "desk", "lamp", outside=say_yes)
assert report.ok, report
"""

from __future__ import annotations

from .chamber import Progress, torture
from .invariants import INVARIANTS, Violation
from .report import Count, Report, Row
from .scenario import Scenario
from .schedule import KINDS, Hit, KindName, Schedule
from .world import say_yes

__all__ = [
    "INVARIANTS",
    "KINDS",
    "Count",
    "Hit",
    "KindName",
    "Progress",
    "Report",
    "Row",
    "Scenario",
    "Schedule",
    "Violation",
    "say_yes",
    "torture",
]
