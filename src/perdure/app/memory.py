"""The memory of an app's agents: its backends by the table `[memory]`, for runs and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.memory_settings import MemorySettings
from ..memory import Memories, Remembered, Sessions
from .memory_governance import MemoryGovernance

if TYPE_CHECKING:
    from .app import App

__all__ = ["AppMemory"]


class AppMemory(MemoryGovernance):
    """`app.memory`: what its agents remember, on the backends that its settings name."""

    def __init__(self, app: App, settings: MemorySettings) -> None:
        self._app = app
        self.settings = settings
        if settings.sessions != "store":
            raise ConfigError('`[memory] sessions` is not one that can be used: write "store"')

    @property
    def backends(self) -> Memories:
        """What runs are handed."""
        settings = self.settings
        return Memories(review=settings.review, shared=settings.shared, retention=settings.retention.rules())

    @property
    def sessions(self) -> Sessions:
        """Conversations and cases; the app must be open."""
        return self.backends.sessions(self._app.store)

    def _layers(self) -> list[Remembered]:
        return self.backends.remembered(self._app.store)

    async def close(self) -> None:
        """End the connections to backends of their own."""
