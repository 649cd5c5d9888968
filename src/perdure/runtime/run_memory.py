"""What a run remembers beyond itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .run_base import RunBase

if TYPE_CHECKING:
    from .recall import Session

__all__ = ["RunMemory"]


class RunMemory(RunBase):
    """The way to memory."""

    def session(self, name: str) -> Session:
        """A conversation or a case that lasts over days, runs and workers: its messages, and values under keys.

        It is the tenant's, and of the run's data subject where it has one. Raises `ConfigError` for what is no name.
        """
        from .recall import Session

        return Session(self._recorder, self._surroundings.memories.sessions(self._recorder.store), name)
