"""`client.approvals`: what stands open for a human, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models import AnswerIn, ApprovalOut, Page, Taken
from .link import Link

__all__ = ["Approvals"]


class Approvals:
    """Questions that wait for a human. Raises the errors that the server raised."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self, run: str | None = None) -> list[ApprovalOut]:
        """What stands open in the tenant, or what a run asks and the runs below it; all of it, the oldest first."""
        if run is not None:
            return (await self._link.ask("GET", f"/approvals/{run}", Page[ApprovalOut])).items
        page = await self.page(limit=1000)
        found = page.items
        while page.next is not None:
            page = await self.page(after=page.next, limit=1000)
            found += page.items
        return found

    async def page(self, *, after: str | None = None, limit: int = 100) -> Page[ApprovalOut]:
        """A page of what stands open in the tenant, the oldest first; `after` is the `next` of the page before."""
        return await self._link.ask(
            "GET", "/approvals", Page[ApprovalOut], query={"after": after, "limit": limit}
        )

    async def approve(
        self,
        asked: ApprovalOut,
        *,
        reason: str | None = None,
        value: Any = None,
        arguments: Mapping[str, Any] | None = None,
        proof: Any = None,
    ) -> Taken:
        """Say yes to what was shown, as `list` gave it; of a call, to exactly that."""
        return await self._answer(
            asked,
            {"approved": True, "reason": reason, "value": value, "arguments": arguments, "proof": proof},
        )

    async def reject(self, asked: ApprovalOut, *, reason: str, proof: Any = None) -> Taken:
        """Say no, and why."""
        return await self._answer(asked, {"approved": False, "reason": reason, "proof": proof})

    async def _answer(self, asked: ApprovalOut, told: dict[str, Any]) -> Taken:
        body = AnswerIn.model_validate({"step": asked.step, "digest": asked.digest, **told})
        return await self._link.ask(
            "POST", f"/approvals/{asked.run}/answer", Taken, body=body, repeatable=True
        )
