"""`client.memory`: what agents remember, and what people decide about it."""

from __future__ import annotations

from ..models import (
    Decide,
    Forget,
    Forgotten,
    ItemExplained,
    ItemOut,
    Page,
    ProposalOut,
    Restore,
    SpreadOut,
    Withdraw,
    Withdrawn,
    WithdrawnOut,
)
from .link import Link

__all__ = ["Memory"]


class Memory:
    """What the agents of the tenant remember, in all layers."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def search(
        self,
        text: str = "",
        *,
        layer: str | None = None,
        subject: str | None = None,
        run: str | None = None,
        label: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[ItemOut]:
        """Items in which a text stands; a page may be short, or empty, and not the last."""
        asked = {
            "text": text or None,
            "layer": layer,
            "subject": subject,
            "run": run,
            "label": label,
            "after": after or None,
            "limit": limit,
        }
        return await self._link.ask("GET", "/memory/items", Page[ItemOut], query=asked)

    async def why(self, item: str, *, runs: int = 500) -> ItemExplained:
        """Why an item (`RUN/STEP`) is there, and who was handed it since, by the journals of so many runs."""
        return await self._link.ask("GET", "/memory/why", ItemExplained, query={"item": item, "runs": runs})

    async def spread(self, run: str, *, runs: int = 500) -> SpreadOut:
        """What runs have written that had been handed what a run wrote, or what was made of it."""
        return await self._link.ask("GET", "/memory/spread", SpreadOut, query={"run": run, "runs": runs})

    async def withdrawn(self) -> list[WithdrawnOut]:
        """What no run recalls, by whom and why."""
        return (await self._link.ask("GET", "/memory/withdrawn", Page[WithdrawnOut])).items

    async def undo(self, target: str, *, why: str = "", spread: bool = False) -> Withdrawn:
        """Withdraw what a run (`RUN`), or one write of it (`RUN/STEP`), has put into memory; with all of `spread`."""
        asked = Withdraw(target=target, why=why, spread=spread)
        return await self._link.ask("POST", "/memory/undo", Withdrawn, body=asked, repeatable=True)

    async def restore(self, target: str, *, why: str = "") -> Withdrawn:
        """Take back that it was withdrawn."""
        asked = Restore(target=target, why=why)
        return await self._link.ask("POST", "/memory/restore", Withdrawn, body=asked, repeatable=True)

    async def reviews(self, *, all: bool = False) -> list[ProposalOut]:
        """Writes that wait for a person; with `all` also those that were decided."""
        page = await self._link.ask("GET", "/memory/reviews", Page[ProposalOut], query={"all": all or None})
        return page.items

    async def accept(self, item: str, *, why: str = "") -> ProposalOut:
        """Do a write that waits."""
        asked = Decide(item=item, why=why)
        return await self._link.ask(
            "POST", "/memory/reviews/accept", ProposalOut, body=asked, repeatable=True
        )

    async def reject(self, item: str, *, why: str = "") -> ProposalOut:
        """Let a write that waits never be done."""
        asked = Decide(item=item, why=why)
        return await self._link.ask(
            "POST", "/memory/reviews/reject", ProposalOut, body=asked, repeatable=True
        )

    async def forget(self, subject: str) -> Forgotten:
        """Delete what is remembered about a data subject, for good."""
        asked = Forget(subject=subject)
        return await self._link.ask("POST", "/memory/forget", Forgotten, body=asked, repeatable=True)
