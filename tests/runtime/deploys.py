"""One store, and one version of the code after the other on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from perdure import App, Run
from perdure.testing import SkippingClock

Program = Callable[[Run], Awaitable[Any]]


class Site:
    """A store on disk. `deployed(program)` is the app after a deploy."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/perdure.db"
        self.done: list[str] = []
        """what its steps did, in order"""

    def deployed(self, program: Callable[..., Awaitable[Any]], *, skips: bool = False) -> App:
        """Time is skipped where nothing else is to do, with `skips`."""
        app = App(self.url, clock=SkippingClock() if skips else None)
        app.agent("changing")(program)
        return app

    def do(self, what: str) -> str:
        """A step."""
        self.done.append(what)
        return what
