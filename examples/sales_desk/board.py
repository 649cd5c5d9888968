"""What is on the screen while the demo runs: what happened so far, and below it where each lead stands."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

NODES = ("research", "plan", "select", "draft")


@dataclass(frozen=True)
class Marks:
    done: str = "✓"
    now: str = "●"
    later: str = "·"
    failed: str = "✗"
    killed: str = "✗"
    dash: str = "–"
    bullet: str = "•"

    @classmethod
    def for_console(cls, console: Console) -> Marks:
        if (console.encoding or "").lower().replace("-", "").startswith("utf"):
            return cls()
        return cls(done="+", now="*", later=".", failed="x", killed="x", dash="-", bullet="-")


@dataclass(frozen=True)
class Standing:
    """Where a lead stands, as its run's row tells."""

    lead: str
    done: int
    """of four nodes, then the approval"""
    status: str
    waits_for_person: bool
    held: bool
    """whether a worker has it now"""
    outcome: str | None

    @classmethod
    def of(
        cls,
        lead: str,
        *,
        progress: str | None,
        status: str,
        reasons: Sequence[str],
        held: bool,
        outcome: str | None,
    ) -> Standing:
        done = json.loads(progress)["done"] if progress else 0
        return cls(lead, done, status, "approval" in reasons, held, outcome)

    @property
    def ended(self) -> bool:
        return self.status not in ("pending", "running", "waiting")


class Board:
    """Prints events as they come; on a terminal it keeps a table of the leads below them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.marks = Marks.for_console(console)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._standings: Sequence[Standing] = ()
        self._footer = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def start(self) -> None:
        if self._live is None and self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(self._picture(), console=self.console, transient=True, refresh_per_second=10)
            self._live.start()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str, *, style: str = "") -> None:
        row = Table.grid(padding=(0, 2))
        row.add_column(justify="right", style="dim", no_wrap=True, min_width=6)
        row.add_column(overflow="fold")
        row.add_row(f"{self.seconds:.1f} s", Text.from_markup(text, style=style))
        self.console.print(row)

    def show(self, standings: Sequence[Standing], footer: str) -> None:
        self._standings, self._footer = standings, footer
        if self._live is not None:
            self._live.update(self._picture())

    def _picture(self) -> RenderableType:
        narrow, wide = self.console.width < 66, self.console.width >= 90
        table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1), header_style="dim")
        table.add_column("lead", no_wrap=True, max_width=14 if narrow else 24)
        for node in NODES:
            table.add_column(node[:3] if narrow else node, justify="center", no_wrap=True)
        table.add_column("ok?" if narrow else "approval", justify="center", no_wrap=True)
        table.add_column("mail", no_wrap=True)
        for standing in self._standings:
            table.add_row(standing.lead, *(self._node(standing, n) for n in range(4)), *self._rest(standing))
        return Group("", table, "", Text(self._footer, style="dim", overflow="ellipsis", no_wrap=True))

    def _node(self, standing: Standing, node: int) -> Text:
        marks = self.marks
        if node < standing.done:
            return Text(marks.done, style="green")
        if node > standing.done:
            return Text(marks.later, style="dim")
        if standing.ended:
            return Text(marks.failed, style="red")
        return Text(marks.now, style="cyan")

    def _rest(self, standing: Standing) -> tuple[Text, Text]:
        marks = self.marks
        later = Text(marks.later, style="dim")
        if standing.ended:
            approved = standing.outcome == "sent"
            mark = Text(marks.done, style="green") if approved else Text(marks.later, style="dim")
            return mark, Text("sent" if approved else "none", style="green" if approved else "yellow")
        if standing.done < 4:
            return later, later
        if standing.done == 4:
            return Text("waits" if standing.waits_for_person else marks.now, style="yellow"), later
        return Text(marks.done, style="green"), Text(marks.now, style="cyan")
