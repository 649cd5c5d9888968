"""Spans: what is sent of runs beside the work on them, where somebody asked for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.telemetry_settings import TelemetrySettings
from .base import AppBase

if TYPE_CHECKING:
    from ..engines.worker import Beside

__all__ = ["Tracing"]


class Tracing(AppBase):
    """The part of `App` that tells of runs as spans."""

    telemetry_settings = TelemetrySettings()
    """the table `[telemetry]`"""

    def span_tasks(self) -> Sequence[Beside]:
        """What sends spans; nothing where nobody wants them. Raises `ConfigError` where it cannot be done."""
        from ..telemetry.spans import Otlp, SpanExporter, profile_of, wanted_by

        settings = self.telemetry_settings
        wanted = wanted_by(os.environ) if settings.spans is None else settings.spans
        if not wanted:
            return []
        sink = Otlp(service=settings.service)
        profile = profile_of(settings.conventions)
        return [SpanExporter(self.store, sink, profile=profile, contents=settings.contents)]
