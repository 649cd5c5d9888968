"""A handle on a run: wait for its result, look at it, steer it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic_core

from .core.errors import RunFailed, UnknownRun
from .core.ids import RunRef
from .journal import Entry, Kind, RunRecord, RunStatus
from .runtime import Agent, Failure
from .runtime.failure import again

if TYPE_CHECKING:
    from .app import App

__all__ = ["Handle"]


class Handle:
    """One run, from outside."""

    def __init__(self, app: App, ref: RunRef, agent: Agent | None) -> None:
        self._app = app
        self.ref = ref
        self._agent = agent

    @property
    def id(self) -> str:
        """The run's id."""
        return self.ref.id

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

        Raises `RunFailed` where it ended in anything but `succeeded`; the error of its function is the cause.
        Something must drive the run meanwhile: `async with app` here, or a worker elsewhere.
        """
        await self._app.until_ended(self.ref)
        record = await self.record()
        last = (await self._app.store.read(self.ref, after=record.head - 1))[-1]
        assert last.kind == Kind.ENDED
        ending: dict[str, Any] = pydantic_core.from_json(last.payload)
        if record.status is RunStatus.SUCCEEDED:
            data = pydantic_core.to_json(ending.get("result"))
            return pydantic_core.from_json(data) if self._agent is None else self._agent.output.load(data)
        failure = None if ending.get("failure") is None else Failure.model_validate(ending["failure"])
        text = "" if failure is None else f": {failure.name}: {failure.message}"
        error = RunFailed(
            f"run `{self.ref}` ended `{record.status}`{text}", status=record.status, failure=failure
        )
        if failure is not None and failure.traceback:
            raise error from again(failure)
        raise error

    async def cancel(self, *, reason: str = "", terminate: bool = False) -> None:
        """Cancel it; see `App.cancel`."""
        await self._app.cancel(self.ref.id, reason=reason, terminate=terminate, tenant=self.ref.tenant)

    async def signal(self, name: str, payload: Any = None, *, message_id: str | None = None) -> bool:
        """Send it a signal; see `App.signal`."""
        return await self._app.signal(
            self.ref.id, name, payload, message_id=message_id, tenant=self.ref.tenant
        )
