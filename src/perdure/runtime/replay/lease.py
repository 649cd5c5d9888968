"""The right to go on: whether this worker's session is still good, as far as this process can know."""

from __future__ import annotations

from ...core.clock import Clock
from ...journal import Session

__all__ = ["Lease"]


class Lease:
    """A session's lease, seen from inside the process that holds it.

    Counted from before the renewal was asked for, on the monotonic clock, so that it always ends here before it ends
    in the store. Written by the heartbeat's thread, read by the loop's.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        self.session = session
        self._clock = clock
        self._seconds = session.lease / 1e6
        self.until = clock.monotonic() + self._seconds
        """monotonic time at which it ends"""

    def renewed(self, asked_at: float) -> None:
        """The store has renewed it; `asked_at` is the monotonic time before it was asked."""
        self.until = asked_at + self._seconds

    def end(self) -> None:
        """The store says that the session is gone."""
        self.until = float("-inf")

    def valid(self) -> bool:
        """Whether effects may still be begun."""
        return self._clock.monotonic() < self.until

    @property
    def seconds(self) -> float:
        """Length of the lease."""
        return self._seconds
