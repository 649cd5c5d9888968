"""Consoles, tables, colours. A colour means one thing: green went well, yellow waits for somebody, red went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...journal import RunStatus

__all__ = ["STATUS_STYLE", "console", "glyph", "in_foreground", "listing", "status_text"]

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
    "changed": ("≠", "!"),
    "overcome": ("↷", "!"),
    "bar": ("━", "="),
    "wait": ("┄", "."),
    "full": ("━", "="),
}


def console(*, stderr: bool = False) -> Console:
    """A console on a standard stream: as wide as the terminal, wide where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def in_foreground(on: Console) -> bool:
    """Whether a terminal's user looks at this process, and does not type into another: `perdure run … &`."""
    if not on.is_terminal:
        return False
    try:
        return os.tcgetpgrp(on.file.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # forced to be a terminal, and is none
        return True


def glyph(name: str, on: Console) -> str:
    """A sign, or its stand-in where the terminal cannot show it."""
    shown, plain = _GLYPHS[name]
    return shown if "utf" in on.encoding.lower() else plain


def status_text(status: RunStatus) -> Text:
    """A status in its colour."""
    return Text(status.value, style=STATUS_STYLE[status])


def listing(
    headings: Sequence[str],
    rows: Sequence[Sequence[Text | str]],
    on: Console,
    *,
    squeeze: Sequence[tuple[int, int]] = (),
    right: Sequence[int] = (),
) -> Table:
    """A table without lines that fits `on`, its headings dim.

    Where it is too wide, columns give way in the order of `squeeze`, each to its least width; to 0: it is left out. At
    last the last column is cut. (Rich alone squeezes all of them in turn, until no number can be read.)
    """
    widths = [
        max([len(heading), *(_width(row[i]) for row in rows)], default=0)
        for i, heading in enumerate(headings)
    ]
    last = len(headings) - 1
    for column, least in (*squeeze, (last, LEAST_LAST), *((i, 4) for i in range(last))):
        over = sum(w + GAP for w in widths if w) - GAP - on.width
        if over > 0:
            widths[column] = max(widths[column] - over, min(least, widths[column]))
    shown = [i for i, width in enumerate(widths) if width]
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="dim"
    )
    for i in shown:
        justify = "right" if i in right else "left"
        table.add_column(headings[i], no_wrap=True, overflow="ellipsis", width=widths[i], justify=justify)
    for row in rows:
        table.add_row(*(row[i] for i in shown))
    return table


GAP = 2
"""Blanks between columns: the box draws one, the padding is the rest."""

LEAST_LAST = 12


def _width(cell: Text | str) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)
