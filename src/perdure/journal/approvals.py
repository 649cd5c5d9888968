"""The part of the Store port that lists what stands open for a human: a projection of WAITING entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pydantic_core

from ..core.ids import RunRef

__all__ = ["Approval", "ApprovalPlace", "ApprovalStore", "Overdue"]


class Overdue(NamedTuple):
    """Which questions are late. Times are microseconds, the store's clock."""

    now: int
    """those whose deadline is before"""
    since: int = 0
    """and those without one that were opened before"""


class ApprovalPlace(NamedTuple):
    """Where an approval stands in the list of those that are open. They are in the order of these."""

    opened_at: int
    tenant: str
    run: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A question that waits for a human: a projection of a WAITING entry."""

    ref: RunRef
    step: str
    question: str
    opened_at: int
    due: int | None
    agent: str
    show: bytes
    """JSON of what the human is shown, and of what decides whether an answer counts; `told` is that as an object"""

    @property
    def told(self) -> dict[str, Any]:
        """`show`, read: what it is about, `choices`, `form`; of a call also `tool`, `digest`, `about` and so on."""
        return pydantic_core.from_json(self.show)

    @property
    def digest(self) -> str | None:
        """What an answer to the question about a call is bound to (SHA-256, hexadecimal); None: it asks for no call."""
        return self.told.get("digest")

    @property
    def tool(self) -> str | None:
        """The tool that is to be called; None: it asks for no call."""
        return self.told.get("tool")

    @property
    def arguments(self) -> Mapping[str, Any] | None:
        """With what the tool is to be called, by name, as JSON values; None: it asks for no call."""
        return self.told.get("arguments")

    @property
    def requester(self) -> str | None:
        """Who wants the call, and cannot approve it: `user:NAME`, or `agent:NAME`; None: it asks for no call."""
        return self.told.get("requester")

    @property
    def place(self) -> ApprovalPlace:
        """For `after`, to read on."""
        return ApprovalPlace(self.opened_at, self.ref.tenant, self.ref.id, self.step)

    def late(self, overdue: Overdue) -> bool:
        """Whether it should have been answered by then."""
        return self.due < overdue.now if self.due is not None else self.opened_at < overdue.since


class ApprovalStore(Protocol):
    """What a store does with approvals."""

    async def approvals(
        self,
        *,
        tenant: str | None = None,
        ref: RunRef | None = None,
        overdue: Overdue | None = None,
        after: ApprovalPlace | None = None,
        limit: int | None = None,
    ) -> list[Approval]:
        """Open approvals, oldest first: at most `limit`, of those behind `after`.

        With `overdue` only those that are late.
        """
        ...

    async def count_approvals(self, *, tenant: str | None = None, overdue: Overdue | None = None) -> int:
        """How many stand open; with `overdue` how many of them are late."""
        ...
