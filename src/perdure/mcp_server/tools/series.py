"""Series of runs: what was done, what is left, and what the next run should know."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ...access import Role
from ..asking import Asking
from ..tool import Given, tool

__all__ = ["SERIES"]


class AllSeries(Given):
    """No choice."""


class SeriesTold(BaseModel):
    """Their names."""

    series: list[str]


@tool(title="List series of runs", role=Role.VIEWER)
async def list_series(asked: AllSeries, asking: Asking) -> SeriesTold:
    """List the series of runs that work towards one goal each, by name. `read_progress` tells how far one is."""
    return SeriesTold(series=await asking.app.series(tenant=asking.caller.tenant))


class Progress(Given):
    """Of which series."""

    series: str = Field(min_length=1, max_length=200)


class ProgressTold(BaseModel):
    """How far it is."""

    series: str
    items: dict[str, int] = Field(description="How many items of work are in each state")
    page: str = Field(description="The handover as Markdown: items, notes, past runs")


@tool(title="Read the progress of a series", role=Role.VIEWER, payloads=True)
async def read_progress(asked: Progress, asking: Asking) -> ProgressTold:
    """Read how far a series of runs is: what was done, half done, given up, left to do, and notes for the next run."""
    handover = await asking.app.handover(asked.series, tenant=asking.caller.tenant)
    counts: dict[str, int] = {}
    for item in handover.items:
        counts[item.state.value] = counts.get(item.state.value, 0) + 1
    return ProgressTold(series=handover.series, items=counts, page=handover.markdown())


SERIES = (list_series, read_progress)
