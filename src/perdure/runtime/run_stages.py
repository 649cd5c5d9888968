"""Stages of a run in which less exists than otherwise."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .replay.control import Unwind
from .replay.scope import Scope, current_scope, reset_scope, set_scope
from .run_base import RunBase

__all__ = ["RunStages"]


class RunStages(RunBase):
    """What a run says about a part of itself."""

    @asynccontextmanager
    async def planning(self, name: str = "planning") -> AsyncGenerator[None]:
        """Within it only reads exist: `async with run.planning(): plan = await run.model(...)`.

        Models are offered no other tools, also those of wrapped agents; whatever is called all the same, by whomever,
        is refused with `Refused`, and so are children, whose effects are their own. The steps stand under `planning/`
        in the journal, so a replay has the same stage. `name` is that of the step.
        """
        recorder = self._recorder
        outer = current_scope(recorder)
        key = outer.enter(name)
        scope = Scope(recorder, f"{key}/", parent=outer, shielded=outer.shielded)
        recorder.open_scopes.add(scope.path)
        recorder.boundary.planning.add(scope.path)
        token = set_scope(scope)
        try:
            yield
            if recorder.halted is not None:
                raise Unwind
            if recorder.unconsumed:
                recorder.check_frontier(scope)
        finally:
            reset_scope(token)
            recorder.boundary.planning.discard(scope.path)
            recorder.open_scopes.discard(scope.path)
            outer.busy = ""
