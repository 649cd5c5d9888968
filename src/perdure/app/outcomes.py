"""What became of runs: whether the goal was met, said by code, a human or a later fact, also long after the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic_core

from ..core.errors import UnknownRun
from ..core.ids import RunRef
from ..journal import CellKey, Kind
from ..runtime.ending.outcome import Outcome, keep_outcome, outcome_key, outcomes_of, read_outcomes
from .base import AppBase
from .trust import AppTrust

__all__ = ["Outcomes"]


class Outcomes(AppBase):
    """The part of `App` that knows what became of its runs."""

    trust: AppTrust
    """how far its agents are trusted: their rings, and what widens and narrows them"""

    async def outcome(
        self, run_id: str, met: bool, *, by: str, evidence: Any = None, tenant: str | None = None
    ) -> Outcome:
        """Say whether a run that has ended met its goal, who says so, and on what evidence (anything JSON can say).

        It may be said several times, also years later: the history is kept in the run's journal, the last word counts.
        A goal that was not met narrows the trust rings of what the run did, where it has any (`[trust] narrow_on`).
        Raises `UnknownRun`, `RunNotEnded` for a run that goes on (inside it, `run.outcome` says so), and `RunPruned`.
        """
        await self.open()
        ref = self.ref(run_id, tenant)
        told = pydantic_core.to_json({"met": met, "by": by, "evidence": evidence}, fallback=repr)
        entry = await self.store.annotate(
            ref, Kind.OUTCOME, told, actor=by, amendments=[keep_outcome(ref, met)]
        )
        if entry is None:
            raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
        if not met:
            await self.trust.goal_missed(ref, by=by)
        return Outcome.of(entry)

    async def outcomes(self, run_id: str, *, tenant: str | None = None) -> list[Outcome]:
        """All that was said of a run, in order; the last counts. Empty where nobody has said anything."""
        await self.open()
        return outcomes_of(await self.store.read(self.ref(run_id, tenant)))

    async def last_outcomes(self, refs: Sequence[RunRef]) -> dict[RunRef, bool]:
        """Of those runs of which something is known, whether the goal was met."""
        if not refs:
            return {}
        keys: dict[CellKey, RunRef] = {outcome_key(ref): ref for ref in refs}
        found: dict[CellKey, bool] = await self.store.amend(read_outcomes(list(keys)))
        return {keys[key]: met for key, met in found.items()}
