"""A link by which one person signs in, from the terminal that shows it: as notebooks do.

    http://127.0.0.1:7000/sign-in/link?token=…

Good once, for some minutes, while the process lives. Whoever reads the terminal is who may come.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from urllib.parse import quote

from ..core.clock import Clock, SystemClock

__all__ = ["LINK_PATH", "Links"]

LINK_PATH = "/sign-in/link"
_MOST = 100
"""Links that are open at once: the oldest is forgotten."""


class Links:
    """The links of one process. A link leads to a page with a button: no preview, and no scanner, uses it up."""

    def __init__(self, *, within: timedelta = timedelta(minutes=15), clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._within = within.total_seconds()
        self._open: dict[str, float] = {}

    def new(self, url: str) -> str:
        """A link to the server at `url`."""
        token = secrets.token_urlsafe(32)
        while len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
        self._open[_digest(token)] = self._clock.monotonic() + self._within
        return f"{url.rstrip('/')}{LINK_PATH}?token={quote(token)}"

    def use(self, token: str) -> bool:
        """Whether somebody may come in by it, who then has used it up."""
        until = self._open.pop(_digest(token), None)  # by its digest: how long a look takes says nothing
        return until is not None and self._clock.monotonic() < until


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
