# Made by tools/make_sync_client.py of ../asynchronous: change that.
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

    def search(
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
        return self._link.ask("GET", "/memory/items", Page[ItemOut], query=asked)

    def why(self, item: str, *, runs: int = 500) -> ItemExplained:
        """Why an item (`RUN/STEP`) is there, and who was handed it since, by the journals of so many runs."""
        return self._link.ask("GET", "/memory/why", ItemExplained, query={"item": item, "runs": runs})

    def spread(self, run: str, *, runs: int = 500) -> SpreadOut:
        """What runs have written that had been handed what a run wrote, or what was made of it."""
        return self._link.ask("GET", "/memory/spread", SpreadOut, query={"run": run, "runs": runs})

    def withdrawn(self) -> list[WithdrawnOut]:
        """What no run recalls, by whom and why."""
        return (self._link.ask("GET", "/memory/withdrawn", Page[WithdrawnOut])).items

    def undo(self, target: str, *, why: str = "", spread: bool = False) -> Withdrawn:
        """Withdraw what a run (`RUN`), or one write of it (`RUN/STEP`), has put into memory; with all of `spread`."""
        asked = Withdraw(target=target, why=why, spread=spread)
        return self._link.ask("POST", "/memory/undo", Withdrawn, body=asked, repeatable=True)

    def restore(self, target: str, *, why: str = "") -> Withdrawn:
        """Take back that it was withdrawn."""
        asked = Restore(target=target, why=why)
        return self._link.ask("POST", "/memory/restore", Withdrawn, body=asked, repeatable=True)

    def reviews(self, *, all: bool = False) -> list[ProposalOut]:
        """Writes that wait for a person; with `all` also those that were decided."""
        page = self._link.ask("GET", "/memory/reviews", Page[ProposalOut], query={"all": all or None})
        return page.items

    def accept(self, item: str, *, why: str = "") -> ProposalOut:
        """Do a write that waits."""
        asked = Decide(item=item, why=why)
        return self._link.ask("POST", "/memory/reviews/accept", ProposalOut, body=asked, repeatable=True)

    def reject(self, item: str, *, why: str = "") -> ProposalOut:
        """Let a write that waits never be done."""
        asked = Decide(item=item, why=why)
        return self._link.ask("POST", "/memory/reviews/reject", ProposalOut, body=asked, repeatable=True)

    def forget(self, subject: str) -> Forgotten:
        """Delete what is remembered about a data subject, for good."""
        asked = Forget(subject=subject)
        return self._link.ask("POST", "/memory/forget", Forgotten, body=asked, repeatable=True)
