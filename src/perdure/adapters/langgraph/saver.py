"""`PerdureSaver`: LangGraph's checkpoints in a Perdure store, for those who want only that.

How threads are stored stands in `langgraph_threads` and `langgraph_cells`. The saver has a loop in a thread of its own,
so that it serves sync and async graphs alike.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from ...journal import Store
from .cells import Shelf
from .threads import Threads

__all__ = ["PerdureSaver"]

T = TypeVar("T")


class PerdureSaver(BaseCheckpointSaver[int]):
    """Keeps threads in `store`, which it opens; `close` it at the end, or use it in a `with`.

        with PerdureSaver(App("sqlite:///agents.db").store) as saver:
            graph = builder.compile(checkpointer=saver)

    A run of Perdure needs no checkpointer: there the journal is what survives.
    """

    def __init__(self, store: Store, *, tenant: str = "default", serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._shelf = Shelf(store, tenant)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="perdure-saver", daemon=True)
        self._thread.start()
        self._sync(self._shelf.open())

    @property
    def _threads(self) -> Threads:
        return Threads(
            self._shelf, self.serde
        )  # LangGraph copies a saver, and gives the copy another serializer

    def close(self) -> None:
        """Close the store, and end the thread."""
        if self._loop.is_closed():
            return
        self._sync(self._shelf.store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> PerdureSaver:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _sync(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _async(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # LangGraph's interface, sync and async ---------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the thread's latest."""
        return self._sync(self._threads.get(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The same as `get_tuple`."""
        return await self._async(self._threads.get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the latest first."""
        yield from self._sync(self._threads.list(config, filter, before, limit))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The same as `list`."""
        for found in await self._async(self._threads.list(config, filter, before, limit)):
            yield found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; it is on disk when this returns."""
        return self._sync(self._threads.put(config, checkpoint, metadata))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """The same as `put`."""
        return await self._async(self._threads.put(config, checkpoint, metadata))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote."""
        self._sync(self._threads.put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """The same as `put_writes`."""
        await self._async(self._threads.put_writes(config, writes, task_id, task_path))

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The number after `current`; as text where that is text, as it is in a checkpoint of another saver."""
        if isinstance(current, str):
            return f"{int(current.partition('.')[0]) + 1:032}"
        return 1 if current is None else current + 1

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is stored of a thread."""
        self._sync(self._threads.delete(str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        """The same as `delete_thread`."""
        await self._async(self._threads.delete(str(thread_id)))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread, its whole history included."""
        self._sync(self._threads.copy(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """The same as `copy_thread`."""
        await self._async(self._threads.copy(source_thread_id, target_thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of these runs, by the `run_id` of their metadata, with what their tasks wrote.

        Reads the checkpoints of all threads to find them. Raises `ValueError` where a checkpoint that stays needs one
        of them for a `DeltaChannel`; nothing of its thread is deleted then.
        """
        self._sync(self._threads.delete_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """The same as `delete_for_runs`."""
        await self._async(self._threads.delete_runs(run_ids))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace of these threads, or with `delete` nothing at all.

        What a `DeltaChannel` of the latest needs of those before it is kept too. A graph may go on with the thread
        meanwhile. Raises `ValueError` for another strategy.
        """
        self._sync(self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """The same as `prune`."""
        await self._async(self._prune(thread_ids, strategy))

    async def _prune(self, thread_ids: Sequence[str], strategy: str) -> None:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"`{strategy}` is no strategy: prune by `keep_latest` or `delete`")
        if isinstance(thread_ids, str):
            raise ValueError(f"`{thread_ids}` is one thread: give a list of them")
        for thread in map(str, thread_ids):
            if strategy == "delete":
                await self._threads.delete(thread)
            else:
                await self._threads.keep_latest(thread)
