"""What runs have cost, and what can be answered about an agent."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from .base import Told

__all__ = ["AnswerOut", "CostBy", "CostRowOut", "CostTableOut", "EvidenceOut", "FiguresOut"]

CostBy = Literal["agent", "version", "model", "step", "label", "outcome"]
"""What costs are asked by."""


class FiguresOut(Told):
    """What a run's journal adds up to. What its children used is in their own figures."""

    folded: int
    """the entry up to which it is counted"""
    goal: str | None
    """what it is to do, in a line"""
    step: str | None
    active_us: int
    money: Decimal
    """dollars"""
    unpriced: int
    """charges without a price: `money` does not hold them"""
    estimated: int
    input_tokens: int
    output_tokens: int
    model_calls: int
    tool_calls: int
    errors: int
    retries: int
    guardrails: int
    """how often something held it back: refusals, questions to a human, budgets"""
    confidence: float | None


class CostRowOut(Told):
    """What one of them has cost."""

    name: str = Field(examples=["desk"])
    """empty: of what has none of that"""
    money: Decimal
    """dollars"""
    input_tokens: int
    output_tokens: int
    model_calls: int
    tool_calls: int
    unpriced: int
    estimated: int


class CostTableOut(Told):
    """What was charged, the dearest first."""

    by: CostBy
    since: datetime | None
    until: datetime | None
    rows: list[CostRowOut]
    total: CostRowOut


class EvidenceOut(Told):
    """One thing that was seen."""

    what: str
    value: str
    command: str | None
    """that shows it"""


class AnswerOut(Told):
    """One of the five questions about an agent, and what can be answered."""

    question: str
    state: Literal["yes", "partly", "not yet"]
    said: str
    evidence: list[EvidenceOut]
    todo: str | None
    """what is missing, and how to get it; null: nothing"""
