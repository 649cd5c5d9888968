# Made by tools/make_sync_client.py of ../asynchronous: change that.
"""`client.audit`: what was done, and the proof of it."""

from __future__ import annotations

from collections.abc import Iterator

from ..models import AuditStatus, CheckpointOut, FactsPage, Page
from .link import Link

__all__ = ["Audit"]


class Audit:
    """The audit log, for an auditor."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def status(self) -> AuditStatus:
        """How large the log is, how far behind, what was signed last."""
        return self._link.ask("GET", "/audit", AuditStatus)

    def checkpoints(self) -> list[CheckpointOut]:
        """The newest signed checkpoints, to be kept elsewhere."""
        return (self._link.ask("GET", "/audit/checkpoints", Page[CheckpointOut])).items

    def facts(self, after: str = "0", *, contents: bool = False) -> Iterator[FactsPage]:
        """What happened behind a cursor, in pieces, each with its own; the last is what there is now."""
        while True:
            query = {"after": after, "contents": contents, "limit": 200}
            page = self._link.ask("GET", "/audit/facts", FactsPage, query=query)
            yield page
            if not page.more:
                return
            after = page.cursor

    def export(self, **selection: str) -> bytes:
        """The bundle of an auditor, as a ZIP file: `run=`, `agent=`, `person=`, `since=`, `until=`, or `all="true"`."""
        response = self._link.send("GET", "/audit/export", query=selection)
        return response.content
