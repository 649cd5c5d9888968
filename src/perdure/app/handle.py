"""A handle on a run: wait for its result, look at it, steer it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.errors import RunPruned, StoreCorrupt, UnknownRun
from ..core.ids import RunRef
from ..journal import Entry, Kind, RunRecord, RunStatus, Store
from ..runtime import Agent, Failure
from ..runtime.ending.conclusion import Ending, not_succeeded
from ..runtime.replay.failure import again

if TYPE_CHECKING:
    from .app import App

__all__ = ["Endings", "Handle"]

log = logging.getLogger("perdure.run")


MOST_REMEMBERED = 1024
"""Endings of this process's own worker that are kept for whoever asks a little later."""

BEHIND = 8
"""Entries that are read at once in search of an end: what was added behind it is seldom more."""

LOOK_SECONDS = 0.25
"""How often the endings of other processes' workers are looked for."""


class Endings:
    """Tells those who wait that their run has ended, here or in another process.

    One look at the store serves all who wait; this process's own worker tells by itself, with the ending's payload.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.worker: asyncio.Task[None] | None = None
        """the worker of this process; its failure is raised to those who wait"""
        self._waiting: dict[RunRef, asyncio.Future[bytes]] = {}
        self._remembered: OrderedDict[RunRef, bytes] = OrderedDict()
        self._looking: asyncio.Task[None] | None = None

    def told(self, ref: RunRef, payload: bytes) -> None:
        """The worker of this process has ended a run; `payload` is that of its last entry."""
        future = self._waiting.pop(ref, None)
        if future is not None and not future.done():
            future.set_result(payload)
            return
        self._remembered[ref] = payload
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    async def wait(self, ref: RunRef, *, fresh: bool = False) -> bytes:
        """The payload of the run's last entry, once it has ended. `fresh`: it was accepted here, a moment ago."""
        payload = self._remembered.pop(ref, None)
        if payload is not None:
            return payload
        if not (fresh and self.worker is not None) and await self.store.ended([ref]):
            return await self._last(ref)
        future = self._waiting.setdefault(ref, asyncio.get_running_loop().create_future())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(future)

    async def _last(self, ref: RunRef) -> bytes:
        record = await self.store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`")
        if record.pruned_at is not None:
            raise RunPruned(f"run `{ref}` was pruned: it ended `{record.status}`, and its result is gone")
        return (await ending_of(self.store, record)).payload

    async def _look(self) -> None:
        """Look for endings as long as somebody waits."""
        try:
            while self._waiting:
                seen = self.store.changes()
                for ref in await self.store.ended(list(self._waiting)):
                    try:
                        self.told(ref, await self._last(ref))
                    except RunPruned as error:
                        self._waiting.pop(ref).set_exception(error)
                worker = self.worker
                if worker is None:
                    await self.store.changed(seen, within=1.0)
                else:
                    await asyncio.wait({worker}, timeout=LOOK_SECONDS)
                    if worker.done():
                        worker.result()
        except BaseException as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(error)
            self._waiting.clear()
            if not isinstance(error, Exception):
                raise


async def ending_of(store: Store, record: RunRecord) -> Entry:
    """The ENDED entry of a run that has ended: its last, but for what was added to it since."""
    after = record.head
    while after:
        before, after = after, max(0, after - BEHIND)
        for entry in reversed(await store.read(record.ref, after=after, limit=before - after)):
            if entry.kind == Kind.ENDED:
                return entry
    raise StoreCorrupt(
        f"run `{record.ref}` is `{record.status}`, and its journal has no end: restore the store from a backup"
    )


class Handle:
    """One run, from outside."""

    def __init__(self, app: App, ref: RunRef, agent: Agent | None, *, fresh: bool = False) -> None:
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
