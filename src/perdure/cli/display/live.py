"""A line that lives below what has been told: what goes on now, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ...journal import RunRecord
from ...views.words import short_span
from .record import progress_words, standing
from .screen import status_text

__all__ = ["Pulse"]


class Pulse:
    """`⠋ running · 12 results · 3.2s`, on the last line of a terminal while it is entered."""

    def __init__(self, on: Console, now: Callable[[], int]) -> None:
        self._on = on
        self._now = now
        self._record: RunRecord | None = None
        self._spinner = Spinner("dots" if "utf" in on.encoding.lower() else "line", style="cyan")
        self._live = Live(console=on, refresh_per_second=8, transient=True, get_renderable=self._line)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def see(self, record: RunRecord) -> None:
        """The run's row has changed."""
        self._record = record

    def _line(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        record = self._record
        if record is None:
            grid.add_row(self._spinner, "starting")
            return grid
        now = self._now()
        parts = [standing(record, now), progress_words(record, now), f"{record.results} results"]
        parts.append(short_span(max(now - record.created_at, 0)))
        text = Text(" · ".join(part for part in parts if part), style="dim")
        grid.add_row(self._spinner, Text.assemble(status_text(record.status), " ", text))
        return grid
