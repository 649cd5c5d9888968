"""The person at the desk: asked on a terminal, stood in for elsewhere."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text
from shapes import Draft


@dataclass(frozen=True)
class Verdict:
    approved: bool
    reason: str | None = None
    changed: Draft | None = None


def show_draft(console: Console, question: str, draft: Draft) -> None:
    head = Text.assemble(("To       ", "dim"), draft.to, "\n", ("Subject  ", "dim"), (draft.subject, "bold"))
    mail = Panel(
        Group(head, "", Text(draft.body)),
        title=Text(question, style="bold"),
        title_align="left",
        border_style="cyan",
        padding=(1, 2),
        width=min(console.width, 88),
    )
    console.print(Padding(mail, (1, 0, 1, 0)))


async def ask(console: Console, question: str, draft: Draft) -> Verdict:
    """Show the draft and wait for a yes, a no, or a change. The end of the input counts as a no."""
    show_draft(console, question, draft)
    while True:
        console.print(
            "[bold]\\[y][/]es, send it   [bold]\\[n][/]o   [bold]\\[e][/]dit the subject > ", end=""
        )
        answer = await read_line()
        match (answer or "no").strip().lower()[:1]:
            case "y":
                return Verdict(approved=True)
            case "n":
                console.print("Why not? (Enter: no reason) > ", end="")
                return Verdict(approved=False, reason=(await read_line() or "").strip() or None)
            case "e":
                console.print("New subject (Enter: as it is) > ", end="")
                subject = (await read_line() or "").strip()
                draft = draft.model_copy(update={"subject": subject[:120]}) if subject else draft
                return Verdict(approved=True, changed=draft)
            case _:
                console.print("Please answer y, n or e.")


async def read_line() -> str | None:
    """A line from the terminal without holding up the mail server; None at the end of the input.

    Read with `os.read` in a daemon thread: `input()` in a thread cannot be left with Ctrl-C, and a lock on
    `sys.stdin` that it holds breaks the interpreter's exit.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()

    def settle(data: bytes) -> None:
        if not line.done():
            line.set_result(data.decode(errors="replace") if data else None)

    def read() -> None:
        try:
            data = os.read(0, 4096)
        except OSError:
            data = b""
        loop.call_soon_threadsafe(settle, data)

    threading.Thread(target=read, daemon=True).start()
    return await line
