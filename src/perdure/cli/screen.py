"""Consoles, tables, colours. A colour means one thing: green went well, yellow waits for somebody, red went wrong."""

from __future__ import annotations

import os
import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..journal import RunStatus

__all__ = ["STATUS_STYLE", "console", "glyph", "listing", "status_text"]

PIPED_WIDTH = 160
"""Columns where nobody looks: lines are for grep, and are not folded to 80."""

STATUS_STYLE = {
    RunStatus.PENDING: "cyan",
    RunStatus.RUNNING: "cyan",
    RunStatus.WAITING: "yellow",
    RunStatus.SUCCEEDED: "green",
    RunStatus.PARTIAL: "yellow",
    RunStatus.ESCALATED: "yellow",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "magenta",
    RunStatus.QUARANTINED: "bold red",
}

_GLYPHS = {
    "ok": ("✓", "+"),
    "failed": ("✗", "x"),
    "waiting": ("◷", "~"),
    "doubt": ("?", "?"),
    "running": ("▸", ">"),
    "message": ("✉", "<"),
    "decision": ("◆", "*"),
    "progress": ("·", "."),
    "ended": ("■", "#"),
    "stopped": ("‖", "|"),
    "bar": ("━", "="),
    "wait": ("┄", "."),
    "full": ("━", "="),
}


def console(*, stderr: bool = False) -> Console:
    """A console on a standard stream: as wide as the terminal, wide where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def glyph(name: str, on: Console) -> str:
    """A sign, or its stand-in where the terminal cannot show it."""
    shown, plain = _GLYPHS[name]
    return shown if "utf" in on.encoding.lower() else plain


def status_text(status: RunStatus) -> Text:
    """A status in its colour."""
    return Text(status.value, style=STATUS_STYLE[status])


def listing(*columns: str) -> Table:
    """A table without lines, its headings dim."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim"
    )
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table
