"""The figures of one run: what its journal adds up to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["RunFigures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What a run's journal adds up to, up to the entry `folded`. Money is nano-dollars, times are microseconds.

    What its children used stands in their own journals, and so in their own figures.
    """

    folded: int
    """the entry up to which the journal is counted; the run's head, but for what came in the last second"""
    goal: str | None = None
    """what it is to do, in a line, from its input; None: it handles a person's data, was pruned, or says nothing"""
    step: str | None = None
    """the step that it was at last"""
    active: int = 0
    """time in which a worker held it"""
    money: int = 0
    unpriced: int = 0
    """charges without a price: `money` does not hold them"""
    estimated: int = 0
    """charges of calls that nobody counted"""
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    """steps that ended with an error"""
    retries: int = 0
    """attempts that failed and were followed by another"""
    refusals: int = 0
    """calls that scope, policy or a revocation refused"""
    approvals: int = 0
    """questions that were put to a human"""
    budget_stops: int = 0
    """waits for a budget that did not hold what a call needs"""
    confidence: float | None = None
    """of its last decision that gave one, from 0 to 1"""
    least_confidence: float | None = None
    met: bool | None = None
    """whether the goal was met, by the last word on it; None: nobody has said"""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def guardrails(self) -> int:
        """How often something held it back: refusals, questions to a human, budgets."""
        return self.refusals + self.approvals + self.budget_stops

    def told(self) -> str:
        """As JSON, without what is nothing."""
        found = {k: v for k, v in asdict(self).items() if v not in (None, 0) or v is False}
        return json.dumps(found, sort_keys=True, separators=(",", ":"))

    @classmethod
    def read(cls, told: str, *, goal: str | None = None) -> Self:
        """The reverse; the goal is kept apart from the others."""
        found: dict[str, Any] = {"folded": 0, **json.loads(told), "goal": goal}
        return cls(**found)
