"""Budgets: how they stand, and what is done to them."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from ...core.spending_settings import LimitSettings
from .base import Asked, Json, Told

__all__ = ["BudgetOut", "RaiseBudget", "RunBudget", "SetBudget"]

_SCOPE = Field(
    pattern=r"^(tenant|agent/[A-Za-z0-9][A-Za-z0-9._~@-]{0,199})$", examples=["tenant", "agent/desk"]
)


class BudgetOut(Told):
    """A budget that many runs share, in its present period."""

    scope: str = Field(examples=["agent/desk"])
    period: str | None
    source: str
    """`configuration`, or `operator`: somebody has set another"""
    limits: dict[str, Decimal]
    """the most of each dimension: dollars, tokens, calls, microseconds"""
    used: dict[str, Decimal]
    held: dict[str, Decimal]
    """set aside for runs that are under way"""
    history: list[dict[str, Json]]
    """who has set it, or raised it"""


class SetBudget(Asked):
    """A shared budget, in place of what the configuration says."""

    scope: str = _SCOPE
    budget: LimitSettings | None
    """null: the configuration holds again"""
    reason: str = Field(default="", max_length=2000)


class RaiseBudget(Asked):
    """More for a shared budget, in its present period."""

    scope: str = _SCOPE
    more: LimitSettings
    reason: str = Field(default="", max_length=2000)


class RunBudget(Asked):
    """What becomes of a run that waits for its budget."""

    more: LimitSettings | None = None
    """null: it gets no more, and ends with what there is"""
    reason: str = Field(default="", max_length=2000)
