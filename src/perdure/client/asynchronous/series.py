"""`client.series`: what runs have done of a goal, and what they leave for the next."""

from __future__ import annotations

from typing import Literal

from ..models import HandoverOut, Page, SeriesOut
from .link import Link

__all__ = ["Series"]

State = Literal["open", "in_hand", "half_done", "done", "failed"]


class Series:
    """The series of the caller's tenant."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def page(self, *, limit: int = 50, after: str | None = None) -> Page[SeriesOut]:
        """One page of series, by name; `after` is `next` of the page before."""
        return await self._link.ask("GET", "/series", Page[SeriesOut], query={"limit": limit, "after": after})

    async def handover(
        self, series: str, *, subject: str | None = None, state: State | None = None, limit: int = 1000
    ) -> HandoverOut:
        """What the next run would find: that of `subject`'s data, or of nobody's in particular. Raises `UnknownRun`."""
        query = {"subject": subject, "state": state, "limit": limit}
        return await self._link.ask("GET", f"/series/{series}", HandoverOut, query=query)
