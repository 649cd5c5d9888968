"""A handle on a run: wait for its result, look at it, steer it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.errors import UnknownRun
from ..core.ids import RunRef
from ..journal import Entry, RunRecord, RunStatus
from ..runtime import Agent, Failure
from ..runtime.ending.conclusion import Ending, not_succeeded
from ..runtime.replay.failure import again
from .endings import LOOK_SECONDS

if TYPE_CHECKING:
    from .steering import Steering

__all__ = ["Handle"]

log = logging.getLogger("perdure.run")


class Handle:
    """One run, from outside."""

    def __init__(self, app: Steering, ref: RunRef, agent: Agent | None, *, fresh: bool = False) -> None:
        self._app = app
        self.ref = ref
        self._agent = agent
        self._fresh = fresh

    @property
    def id(self) -> str:
        """The run's id."""
        return self.ref.id

    @property
    def fresh(self) -> bool:
        """Whether it was accepted by the call that gave this handle, and not there before."""
        return self._fresh

    def __repr__(self) -> str:
        return f"<run {self.ref}>"

    async def record(self) -> RunRecord:
        """The run's row as it stands. Raises `UnknownRun`."""
        record = await self._app.store.get(self.ref)
        if record is None:
            raise UnknownRun(f"no run `{self.ref}`")
        return record

    async def status(self) -> RunStatus:
        """Where it stands."""
        return (await self.record()).status

    async def entries(self) -> list[Entry]:
        """Its whole journal."""
        return await self._app.store.read(self.ref)

    async def result(self) -> Any:
        """Wait for its end and return its result.

        Raises `RunFailed` where it ended in anything but `succeeded`; the error of its function is the cause. Of a run
        that ended `partial`, the error has the `value` that there is, and what is `missing`; `ending` tells all of it.
        Something must drive the run meanwhile: `async with app` here, or a worker elsewhere.
        """
        payload = await self._app.endings.wait(self.ref, fresh=self._fresh)
        ending: dict[str, Any] = pydantic_core.from_json(payload)
        status = RunStatus(ending["status"])
        if status is RunStatus.SUCCEEDED:
            data = pydantic_core.to_json(ending.get("result"))
            return pydantic_core.from_json(data) if self._agent is None else self._agent.output.load(data)
        error = not_succeeded(f"run `{self.ref}`", ending)
        failure: Failure | None = error.failure
        if failure is not None and failure.traceback:
            raise error from again(failure)
        raise error

    async def ending(self) -> Ending:
        """Wait for its end and return all that is said of it, however it ended. Raises `RunPruned`."""
        payload = await self._app.endings.wait(self.ref, fresh=self._fresh)
        return Ending.of(pydantic_core.from_json(payload))

    async def tell_questions(self) -> None:
        """Log how to answer what the run asks, once for each question; until it is cancelled.

        For whoever waits for a result in the foreground, and would not know for whom the run waits.
        """
        store, told = self._app.store, set[str]()
        while True:
            seen = store.changes()
            for question in await store.approvals(ref=self.ref):
                if question.step not in told:
                    told.add(question.step)
                    log.warning(
                        "run %s asks: %r; answer with `perdure approvals approve %s %s` or `deny`, on this store",
                        self.ref, question.question, self.ref.id, question.step,
                    )  # fmt: skip
            await store.changed(seen, within=LOOK_SECONDS)

    async def cancel(self, *, reason: str = "", terminate: bool = False, compensate: bool = False) -> None:
        """Cancel it; see `App.cancel`."""
        await self._app.cancel(
            self.ref.id,
            reason=reason,
            terminate=terminate,
            compensate=compensate,
            tenant=self.ref.tenant,
        )

    async def signal(self, name: str, payload: Any = None, *, message_id: str | None = None) -> bool:
        """Send it a signal; see `App.signal`."""
        return await self._app.signal(
            self.ref.id, name, payload, message_id=message_id, tenant=self.ref.tenant
        )
