"""The table `[telemetry]` of `perdure.toml`: what is told of runs to whoever watches many systems."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TelemetrySettings"]


class TelemetrySettings(BaseModel):
    """Where spans go is said by the variables `OTEL_EXPORTER_OTLP_*`, as everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spans: bool | None = None
    """whether they are sent; None: where the environment names an endpoint"""
    conventions: Literal["1.41", "next"] = "1.41"
    """of OpenTelemetry, for generative AI: which version of them"""
    contents: bool = False
    """also what tools and models were asked and answered: whoever reads the traces reads that, too"""
    logs: Literal["text", "json"] = "text"
    """how workers and servers log; `json`: a line for each decision too, with run, step, tenant and trace"""
    service: str = Field(default="perdure", min_length=1)
    """`service.name`, where OTEL_SERVICE_NAME does not say it"""
