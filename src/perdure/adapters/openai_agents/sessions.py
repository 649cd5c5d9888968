"""Sessions of the OpenAI Agents SDK: what is read from one, and what is added to it, are steps of the run.

Without that a run which begins again would read what it had itself added, and add it twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pydantic_core

from ...core.codec import Shape, shape_of
from ...core.errors import ConfigError
from ...runtime.frameworks.crossing import current
from ...runtime.frameworks.declared import Declaration, Foreign

__all__ = ["RecordedSession"]

_READ = Foreign("session.read", Declaration(effect="read"))
_ADD = Foreign("session.add", Declaration(effect="idempotent"))
_POP = Foreign("session.pop", Declaration(effect="write"))
_CLEAR = Foreign("session.clear", Declaration(effect="idempotent"))

_ITEMS: Shape[Any] = shape_of(list[Any])


class RecordedSession:
    """A session in a run. Nobody else may add to it while the run goes on."""

    def __init__(self, session: Any) -> None:
        for name in ("run_compaction", "replace_items"):
            if hasattr(session, name):
                raise ConfigError(
                    f"a session of type `{type(session).__qualname__}` rewrites its history by itself, which cannot be "
                    "recorded: give the run the plain session below it"
                )
        self._session = session

    @property
    def session_id(self) -> str:
        """Of the session."""
        return self._session.session_id

    @property
    def session_settings(self) -> Any:
        """Of the session."""
        return getattr(self._session, "session_settings", None)

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The history, as it was when the run asked first."""

        async def read(**_: Any) -> list[Any]:
            return _plain(await self._session.get_items(limit))

        return await _step(_READ, read, {"limit": limit}, shape=_ITEMS)

    async def add_items(self, items: Sequence[Any]) -> None:
        """Add to the history, once: where a crash came in between, the session is asked whether it has them."""
        wanted = _plain(items)
        if not wanted:
            return

        async def add(**_: Any) -> None:
            tail = _plain(await self._session.get_items(len(wanted)))
            if tail != wanted:
                await self._session.add_items(list(items))

        await _step(_ADD, add, {"items": wanted})

    async def pop_item(self) -> Any:
        """Take the newest item away."""

        async def pop(**_: Any) -> Any:
            found = await self._session.pop_item()
            return None if found is None else _plain([found])[0]

        return await _step(_POP, pop, {})

    async def clear_session(self) -> None:
        """Forget the history."""

        async def clear(**_: Any) -> None:
            await self._session.clear_session()

        await _step(_CLEAR, clear, {})


async def _step(
    foreign: Foreign,
    execute: Callable[..., Awaitable[Any]],
    arguments: dict[str, Any],
    *,
    shape: Shape[Any] | None = None,
) -> Any:
    return await current().tool(foreign.calling(execute, shape=shape), arguments)


def _plain(items: Sequence[Any]) -> list[Any]:
    return pydantic_core.from_json(pydantic_core.to_json(list(items)))
