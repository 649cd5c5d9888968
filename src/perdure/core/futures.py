"""A future that cannot be called back."""

from __future__ import annotations

import asyncio
from typing import TypeVar

__all__ = ["Steady"]

T = TypeVar("T")


class Steady(asyncio.Future[T]):
    """A future that ignores `cancel()`: a commit on its way, a recorded result, a thread that runs.

    A task that is cancelled while it waits for one gets its `CancelledError` when the future is done. So what was
    recorded is always handed out in the recorded place, and a cancelled waiter never hides what happened.
    """

    def cancel(self, msg: object | None = None) -> bool:
        """Do nothing."""
        return False
