"""The tables `[budget]` and `[prices]` of `perdure.toml`. What they mean is said in `governance`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from .table import read_table

__all__ = ["BudgetSettings", "LimitSettings", "ModelPriceSettings", "PriceSettings"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, values: Mapping[str, Any] | Self, *, where: str) -> Self:
        """From the values of a table. Raises `ConfigError` that names the setting."""
        return read_table(cls, values, where=where)


class LimitSettings(_Table):
    """One budget: see `perdure.Budget`, whose names these are."""

    money: Decimal | None = Field(default=None, ge=0)
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    model_calls: int | None = Field(default=None, ge=0)
    tool_calls: int | None = Field(default=None, ge=0)
    wall_clock: timedelta | None = Field(default=None, gt=timedelta())
    active_time: timedelta | None = Field(default=None, gt=timedelta())
    per: Literal["hour", "day", "week", "month"] | None = None
    timezone: str = "UTC"
    on_limit: Literal["ask", "finish", "stop"] = "ask"
    reserve: float = Field(default=0.1, gt=0, lt=1)
    warn: tuple[float, ...] = (0.5, 0.8, 0.95)
    children: float = Field(default=0.5, gt=0, le=1)
    allow_unpriced: bool = True


class BudgetSettings(_Table):
    """The table `[budget]`."""

    tenant: LimitSettings | None = None
    """of each tenant that has none of its own under `tenants`"""
    tenants: dict[str, LimitSettings] = {}
    agents: dict[str, LimitSettings] = {}
    """of all runs of an agent, in each tenant"""
    run: LimitSettings | None = None
    """of each run whose agent says no other"""


class ModelPriceSettings(_Table):
    """What the tokens of a model cost: dollars per million."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cached: Decimal | None = Field(default=None, ge=0)
    cache_write: Decimal | None = Field(default=None, ge=0)
    max_output: int | None = Field(default=None, ge=1)


class PriceSettings(_Table):
    """The table `[prices]`, and a file of prices."""

    file: str | None = None
    version: str | None = None
    """what the journal says beside each charge; without one, a digest of the prices"""
    listed: bool = True
    """False: only these prices count, not those of `genai-prices`"""
    default_output: int = Field(default=4096, ge=1)
    human_minute: Decimal | None = Field(default=None, ge=0)
    human_minutes_per_approval: float = Field(default=1, ge=0)
    """what an answer takes a human: the time until it comes is mostly spent elsewhere"""
    models: dict[str, ModelPriceSettings] = {}
    tools: dict[str, Decimal] = {}
