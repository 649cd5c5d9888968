"""How a run ends by its own word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pydantic_core

from ..core.codec import arguments_bytes
from ..core.ids import check_id
from ..journal import RunStatus
from .ending.conclusion import Conclusion, finish_with
from .replay.scope import current_scope
from .run_base import RunBase

__all__ = ["RunEndings"]


class RunEndings(RunBase):
    """Endings that are neither a success nor a failure."""

    async def partial(self, value: Any = None, *, missing: Sequence[str] = (), why: str) -> NoReturn:
        """End here with what there is: `value`, what is `missing`, and why. Never returns.

        Effects that are under way in other branches are left to finish; no step begins any more, but under
        `run.shield()`. Whoever waits for the result gets `RunFailed` with the status `partial`, the value and what is
        missing. Raises `RunCancelled` in a cancelled run, and `Unserialisable` for a value that cannot be kept.
        """
        result = arguments_bytes(value)[1:-1]
        missed = (missing,) if isinstance(missing, str) else tuple(str(m) for m in missing)
        await self._finish(
            "partial", Conclusion(status=RunStatus.PARTIAL, result=result, missing=missed, why=why)
        )

    async def escalate(self, reason: str, *, context: Any = None, to: str | None = None) -> NoReturn:
        """End here and hand the work to a human: why, and all that they need to go on. Never returns.

        The reason goes to the contact `to` (by default the agent's `escalate_to`, then that of the settings), with
        what was tried, what was done, and what is in doubt. As `partial`, it leaves effects under way to finish.
        Raises `RunCancelled` in a cancelled run.
        """
        contact = self._agent.escalate_to if to is None else check_id(to, what="a contact")
        told = pydantic_core.from_json(pydantic_core.to_json(context, fallback=repr))
        await self._finish(
            "escalate", Conclusion(status=RunStatus.ESCALATED, why=reason, context=told, to=contact)
        )

    async def _finish(self, name: str, conclusion: Conclusion) -> NoReturn:
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            await finish_with(recorder, scope, key, conclusion)
        finally:
            scope.busy = ""
