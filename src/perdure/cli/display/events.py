"""Entries as lines, one fact each, as they come."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ...journal import Entry, Kind
from ...views.story import QUIET, Lines, body, kind_name, mismatch_text
from ...views.words import clock_time, iso, safe, span
from .screen import glyph

__all__ = ["Teller", "entry_json", "mismatch_text"]


class Teller:
    """Tells the entries of one run in their order; it remembers what a later one refers to."""

    def __init__(self, on: Console, *, verbose: bool = False, name: str | None = None) -> None:
        self._on = on
        self._verbose = verbose
        self._name = name
        """the run's id, where several are told at once"""
        self._lines = Lines()

    def line(self, entry: Entry) -> Text | None:
        """The entry as one line; None for one that says nothing to people."""
        kind = Kind(entry.kind)
        if kind in QUIET and not self._verbose:
            return None
        sign, style, subject, rest = self._lines.of(entry)
        line = Text()
        line.append(f"{clock_time(entry.at)}  ", style="dim")
        if self._name is not None:
            line.append(f"{self._name}  ", style="cyan")
        line.append(f"{glyph(sign, self._on)} ", style=style)
        if subject:
            line.append(safe(subject), style="bold")
        if rest:
            line.append(
                ("  " if subject else "") + safe(rest), style=style if sign in ("failed", "doubt") else ""
            )
        if entry.took:
            line.append(f"  {span(entry.took)}", style="dim")
        return line


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry for programs."""
    return {
        "seq": entry.seq,
        "kind": kind_name(entry),
        "key": entry.key,
        "at": iso(entry.at),
        "took_us": entry.took,
        "actor": entry.actor,
        "epoch": entry.epoch,
        "payload": body(entry),
    }
