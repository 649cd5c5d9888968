"""The versions of policies that a worker has at hand: those of runs that begin, and those by which others began."""

from __future__ import annotations

from ...core.errors import ConfigError
from ...journal import CellStore
from .book import PolicyBook
from .kept import keep, kept
from .versions import PolicyVersions, Versions

__all__ = ["Shelf"]


class Shelf:
    """Belongs to one worker."""

    def __init__(self, store: CellStore, versions: PolicyVersions) -> None:
        self._store = store
        self.versions = versions
        self._kept: set[tuple[str, str]] = set()
        self._read: dict[tuple[str, str], PolicyBook | str] = {}

    async def now(self, tenant: str) -> Versions:
        """What holds for a run that begins now, and what runs beside it."""
        return await self.versions.now(tenant)

    async def keep(self, tenant: str, book: PolicyBook) -> None:
        """Put a version where every worker finds it, before a run of the tenant begins with it."""
        if (tenant, book.digest) not in self._kept:
            await keep(self._store, tenant, book.digest, book.kept())
            self._kept.add((tenant, book.digest))

    async def find(self, tenant: str, digest: str) -> PolicyBook | str:
        """The version of that digest; or, in words, why it is not to be had: then nothing is permitted."""
        held = (await self.now(tenant)).book
        if held is not None and held.digest == digest:
            return held
        found = self._read.get((tenant, digest))
        if found is None:
            found = await self._fetched(tenant, digest)
            if isinstance(found, PolicyBook):
                self._read[tenant, digest] = found
        return found

    async def _fetched(self, tenant: str, digest: str) -> PolicyBook | str:
        try:
            if await kept(self._store, tenant, digest) is None:
                return f"the policies with which the run began (version `{digest[:12]}`) are not in the store"
            return await self.versions.read(tenant, digest)
        except ConfigError as error:
            return f"the policies with which the run began cannot be read: {error}"
