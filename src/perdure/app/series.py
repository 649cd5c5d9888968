"""Series of runs: what each has left for the next, read by people and programs."""

from __future__ import annotations

from ..core.errors import UnknownRun
from ..core.ids import check_id
from ..runtime.progress import Handover
from ..runtime.progress.items import series_names
from ..runtime.progress.reading import read_handover
from .base import AppBase

__all__ = ["SeriesOfRuns"]


class SeriesOfRuns(AppBase):
    """The part of `App` that reads what runs hand to each other."""

    async def series(self, *, tenant: str | None = None) -> list[str]:
        """The series of which runs have asked for a handover or for work, by name; of this app's tenant, or another."""
        await self.open()
        return await series_names(self.store, tenant or self.tenant)

    async def handover(
        self, series: str, *, subject: str | None = None, tenant: str | None = None
    ) -> Handover:
        """What the next run of a series would find, as things stand now: derived from the journals of its runs.

        As a run that handles `subject`'s data would; without it, one that handles nobody's in particular. Raises
        `UnknownRun` where the series has no run.
        """
        await self.open()
        where = check_id(tenant or self.tenant, what="a tenant")
        key = await self.store.tenant_key(where, subject=subject)
        found, runs = await read_handover(self.store, where, series, key=key, subject=subject)
        if not runs:
            raise UnknownRun(
                f"no run is of the series `{series[:80]}`; start one with `series=`, or see `perdure series ls`"
            )
        return found
