"""How far a run has come, and what the next run of its series finds: work items, notes, a handover."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, cast

import pydantic_core
from pydantic import BaseModel, ConfigDict

from ..core.codec import returns
from ..core.errors import ConfigError, StoreError
from ..journal import ENDINGS, Change, Kind
from .boundary import effects
from .progress.items import item_key, keep_item, keep_name, take_item
from .progress.reading import read_handover
from .progress.records import SERIES_LABEL, Handover, ItemState, WorkItem, check_item
from .replay.control import Unwind
from .replay.scope import current_scope
from .run_notes import RunNotes

__all__ = ["RunProgress", "Said"]

T = TypeVar("T")

Said = Literal["done", "failed", "half_done", "tried", "open"]
"""What a run says of an item: `tried` is an attempt without success, after which it goes on"""

_SAID = ("done", "failed", "half_done", "tried", "open")


class _Picked(BaseModel):
    """What `next_item` records."""

    model_config = ConfigDict(frozen=True)

    item: WorkItem | None
    given_up: tuple[WorkItem, ...] = ()
    heard: tuple[str, ...] = ()


class RunProgress(RunNotes):
    """Progress, and the series that the run is one of."""

    @property
    def series(self) -> str | None:
        """The series of runs that it is one of; None: it stands alone."""
        return self._labels.get(SERIES_LABEL)

    def progress(
        self,
        what: str,
        *,
        done: int | None = None,
        total: int | None = None,
        item: str | None = None,
        state: Said | None = None,
        why: str | None = None,
        evidence: Any = None,
        **detail: Any,
    ) -> None:
        """Say how far the run has come: listings show it, and whoever goes on with the work reads it.

        With `item` it is said of that work item: that it is `done`, `failed` (given up), `half_done` (the default),
        `tried` (an attempt without success; it goes on) or `open` again, `why`, and on what `evidence` (anything that
        JSON can say). The next run of the series finds that in its handover. Raises `ConfigError` for a state that is
        none, or one without an item.
        """
        recorder = self._recorder
        if state is not None and (item is None or state not in _SAID):
            raise ConfigError(
                f"`state={state}` is said of an `item`, and is one of {', '.join(_SAID)}"
                + ("; give the item too" if item is None else "")
            )
        recorder.marks += 1
        if item is None:
            told = {"why": why, "evidence": evidence}
            self._say(
                what, done=done, total=total, **{k: v for k, v in told.items() if v is not None}, **detail
            )
            return
        work = {"item": check_item(item), "state": state or "half_done", "why": why, "evidence": evidence}
        self._say(what, work=work, done=done, total=total, **detail)

    def add_items(self, items: Iterable[str] | Mapping[str, str]) -> None:
        """List what there is to do, by ids, or ids with titles: what the series has already stays as it is."""
        if isinstance(items, Mapping):
            titles = dict(cast("Mapping[str, str]", items))
        else:
            titles = dict.fromkeys(items, "")
        listed = [(check_item(item), title) for item, title in titles.items()]
        self._say(f"{len(listed)} item{'' if len(listed) == 1 else 's'} to do", work={"add": listed})

    def leave_note(self, text: str) -> None:
        """Leave a note that the next run of the series finds in its handover."""
        self._say(text, work={"note": True})

    async def handover(self) -> Handover:
        """What the runs before this one of its series have left: recorded when this is asked, the same in every replay.

        Runs that handle another person's data, and those that were pruned, are named, and what they said is not there.
        Raises `ConfigError` in a run of no series.
        """
        series = self._of_series("handover")

        async def read() -> Handover:
            return (await self._read(series))[0]

        found = await self._recorded("handover", read)
        self._has_heard("handover", found, found.heard)
        return found

    async def next_item(self, *, most_runs: int = 3) -> WorkItem | None:
        """Take the next work item of the series, what is half done first; None: there is none to be had.

        No other run has it while this one goes on, and this one is not given it again. An item at which `most_runs`
        runs have ended is given up. Raises `ConfigError` in a run of no series.
        """
        series = self._of_series("next_item")
        if isinstance(most_runs, bool) or most_runs < 1:
            raise ConfigError(f"`most_runs={most_runs}` is not a number of runs from 1")

        async def pick() -> _Picked:
            return await self._pick(series, most_runs)

        picked = await self._recorded("next_item", pick)
        self._has_heard("next item", picked, picked.heard)
        for item in picked.given_up:
            self._say(
                f"{item.id} is given up",
                work={"item": item.id, "state": "failed", "why": _given_up(item), "evidence": item.evidence},
            )
        if picked.item is not None:
            self._items.add(picked.item.id)
            self._say(picked.item.id, work={"item": picked.item.id, "state": "taken"})
        return picked.item

    def _of_series(self, asked: str) -> str:
        series = self.series
        if series is None:
            raise ConfigError(
                f"`run.{asked}` is asked in run `{self.id}`, which is of no series: start it with `series=`, or "
                'register its agent with `@app.agent(series="...")`'
            )
        return series

    async def _read(self, series: str) -> tuple[Handover, dict[str, Any]]:
        recorder = self._recorder
        await recorder.barrier()  # what it has said itself is looked at too
        await recorder.store.amend(keep_name(recorder.ref, series))
        return await read_handover(
            recorder.store,
            recorder.ref.tenant,
            series,
            key=recorder.key,
            subject=recorder.subject,
            but=recorder.ref.id,
        )

    async def _pick(self, series: str, most_runs: int) -> _Picked:
        recorder = self._recorder
        handover, runs = await self._read(series)
        over = {id for id, run in runs.items() if run.status in ENDINGS}
        mine = self.id
        # A worker that died between taking an item and recording that had it for this run: it is the one to go on with.
        lost = [i for i in handover.items if i.state is ItemState.IN_HAND and i.run == mine]
        half = [i for i in handover.half_done if mine not in i.runs]
        given_up = tuple(i for i in half if len(i.runs) >= most_runs)
        goes_on = [i for i in half if len(i.runs) < most_runs]
        for item in (*[i for i in lost if mine not in i.runs], *goes_on, *handover.open):
            if mine in item.runs or item.id in self._items:
                continue
            self._items.add(item.id)
            key = item_key(recorder.ref.tenant, series, item.id, recorder.key)
            taking = take_item(key, item.id, mine, over=over.__contains__, subject=recorder.subject)
            if await recorder.store.amend(taking):
                return _Picked(item=item, given_up=given_up, heard=handover.heard)
            self._items.discard(item.id)
        return _Picked(item=None, given_up=given_up, heard=handover.heard)

    async def _recorded(self, name: str, function: Callable[[], Awaitable[T]]) -> T:
        """A plain step; trouble with the store is the worker's, and no failure of the step."""
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        shape, _ = returns(function)

        async def guarded() -> T:
            try:
                return await function()
            except StoreError as error:
                recorder.fail(error)
                raise Unwind from error

        try:
            if recorder.heard is not None:
                recorder.heard.calls(key, None)
            return await effects.repeat(recorder, scope, key, guarded, (), {}, shape=shape, asynchronous=True)
        finally:
            scope.busy = ""

    def _has_heard(self, name: str, told: BaseModel, labels: Iterable[str]) -> None:
        """What the runs before had read when they wrote it, this one has read as well: said again in every replay."""
        if self._recorder.heard is not None and (seen := frozenset(labels)):
            self._recorder.heard.told(name, told.model_dump_json().encode(), seen)

    def _say(
        self,
        what: str,
        *,
        work: Mapping[str, Any] | None = None,
        done: int | None = None,
        total: int | None = None,
        **detail: Any,
    ) -> None:
        recorder = self._recorder
        note: dict[str, Any] = {
            "what": what,
            "done": done,
            "total": total,
            "at": recorder.store.now(),
            **detail,
        }
        shown = pydantic_core.to_json(note, fallback=repr).decode()
        if work is not None:
            seen = () if recorder.heard is None else recorder.heard.seen
            note["work"] = {**work, "heard": sorted(seen)} if seen else work
        payload = pydantic_core.to_json(note, fallback=repr)
        series, item = self.series, None if work is None else work.get("item")
        amendments = ()
        if series is not None and item is not None and work is not None:
            state = "half_done" if work["state"] == "tried" else work["state"]
            key = item_key(recorder.ref.tenant, series, item, recorder.key)
            amendments = (keep_item(key, item, state, self.id),)
        self._note(Kind.PROGRESS, "progress", payload, Change(progress=shown, amendments=amendments))


def _given_up(item: WorkItem) -> str:
    runs = ", ".join(f"`{run}`" for run in item.runs)
    return f"{len(item.runs)} runs ended at it ({runs})" + (f"; {item.why}" if item.why else "")
