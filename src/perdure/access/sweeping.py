"""Takes away what has ended: sessions, sign-ins that nobody came back from, passkeys that were begun.

Each counts for nothing once it has ended, whether it is still there or not; this is so that a store does not grow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..app import App

__all__ = ["Sweeping"]

KINDS = ("session", "sign_in", "terminal", "passkey_begun")
"""Cells whose `due` is when they end."""
_EVERY_SECONDS = 300.0
_AT_ONCE = 1000


class Sweeping:
    """Give its `run` to whatever goes on beside requests. Several servers may sweep one store."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __repr__(self) -> str:
        return "the sweeping of what has ended"

    async def run(self) -> None:
        """Sweep, and rest; for as long as the server lives."""
        while True:
            await self.sweep()
            await asyncio.sleep(_EVERY_SECONDS)

    async def sweep(self) -> int:
        """Take away all that has ended; how many."""
        await self._app.open()
        store, swept = self._app.store, 0
        for kind in KINDS:
            while gone := await store.forget_cells(kind, before=store.now(), limit=_AT_ONCE):
                swept += gone
                if gone < _AT_ONCE:
                    break
        return swept
