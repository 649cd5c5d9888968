"""Governing what agents remember, in all layers: look, explain, withdraw, forget, export, review.

Whatever a person changes here stands in the audit log, with who did it and why: `perdure audit who-did 'memory_*'`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..core.errors import ConfigError, UnknownItem, UnknownRun
from ..core.ids import RunRef, check_id, check_subject
from ..journal import RunRecord
from ..memory import (
    DoneWrite,
    Hold,
    Holds,
    Item,
    ItemQuery,
    Origin,
    Proposal,
    Proposals,
    Remembered,
)
from .changes import record_change
from .memory_journals import Read, Recall, Written, place_of, reads_before, recalls_of, writes_of
from .memory_spread import Spread, spread_of

if TYPE_CHECKING:
    from .base import AppBase

__all__ = ["Explained", "FoundItem", "FoundItems", "MemoryGovernance", "Read", "Recall", "Written"]

RUNS = 500
"""Runs whose journals are looked through for recalls of an item."""
_PAGE = 100
_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An item, and whether it was withdrawn."""

    item: Item
    hold: Hold | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItems:
    """A page of items."""

    items: Sequence[FoundItem]
    next: str = ""
    """for `after`; empty: there are no more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why an item is there, and what has become of it."""

    id: str
    item: Item | None
    """None: it is in no layer (any more)"""
    proposal: Proposal | None
    hold: Hold | None
    run: RunRecord | None
    """which wrote it; None: it is unknown here"""
    written: Written | None
    """None: the journal of that run does not tell (it was pruned)"""
    read: Sequence[Read]
    """what the run had been told before, in order; at most 200 steps, the last"""
    recalls: Sequence[Recall]
    """who was handed it since, as their journals say, the newest first"""
    looked: int
    """runs whose journals were looked through for that"""
    complete: bool
    """whether those were all that there are since"""


class MemoryGovernance:
    """The part of `app.memory` that people govern by."""

    _app: AppBase

    def _layers(self) -> list[Remembered]:
        raise NotImplementedError

    # looking ---------------------------------------------------------------------------------------------------

    async def search(
        self,
        text: str = "",
        *,
        layer: str | None = None,
        subject: str | None = None,
        run: str | None = None,
        label: str | None = None,
        after: str = "",
        limit: int = 100,
        tenant: str | None = None,
    ) -> FoundItems:
        """Items in which a text stands, of any layer; with those that were withdrawn, which says so.

        It reads what is there, item by item: a page may come back short, with `next`, where much had to be read.
        """
        where, layers = await self._opened(tenant)
        if layer is not None and layer not in {each.layer for each in layers}:
            known = ", ".join(f"`{each.layer}`" for each in layers)
            raise ConfigError(f"`{layer[:40]}` is no layer of memory: there are {known}")
        begin, _, behind = after.partition(":")
        names = [each.layer for each in layers]
        if after and begin not in names:
            raise ConfigError(f"`{after[:80]}` is no place to go on from: take `next` of the page before")
        found: list[Item] = []
        for each in layers[names.index(begin) if after else 0 :]:
            if layer not in (None, each.layer):
                continue
            asked = ItemQuery(
                tenant=where,
                subject=subject,
                run=run,
                text=text,
                label=label,
                after=behind,
                limit=limit - len(found),
            )
            behind = ""
            page = await each.items(asked)
            found += page.items
            if page.next or len(found) >= limit:
                rest = page.next or await self._next(each, layers, layer)
                cursor = f"{each.layer}:{page.next}" if page.next else rest
                return FoundItems(items=await self._with_holds(where, found), next=cursor)
        return FoundItems(items=await self._with_holds(where, found))

    async def _next(self, done: Remembered, layers: Sequence[Remembered], only: str | None) -> str:
        """Where the next layer begins; empty: that was the last."""
        names = [each.layer for each in layers]
        behind = names[names.index(done.layer) + 1 :]
        return f"{behind[0]}:" if behind and only is None else ""

    async def _with_holds(self, tenant: str, items: Iterable[Item]) -> list[FoundItem]:
        known = list(items)
        held = await Holds(self._app.store).among(tenant, (item.origin for item in known))
        return [FoundItem(item=item, hold=held.get(item.origin)) for item in known]

    async def why(self, id: str, *, runs: int = RUNS, tenant: str | None = None) -> Explained:
        """Why an item (`RUN/STEP`) is there: who wrote it, having read what; and who was handed it since.

        At most `runs` journals are looked through for the latter, the newest first. Raises `UnknownItem` where nothing
        of that name was written or proposed.
        """
        where, layers = await self._opened(tenant)
        run, step = split(id)
        store = self._app.store
        ref = RunRef(where, run)
        record = await store.get(ref)
        entries = await store.read(ref) if record is not None else []
        written = next((w for w in writes_of(ref, entries) if w.step == step), None)
        proposal = await Proposals(store).get(where, run, step)
        query = ItemQuery(
            tenant=where,
            subject=None if record is None else record.subject,
            run=run,
            step=step,
            place=None if written is None else place_of(written),
            agent=None if record is None else record.agent,
        )
        item = await _first(layers, query)
        if item is None and proposal is None and written is None:
            raise UnknownItem(
                f"nothing is remembered as `{id[:120]}`: items are called RUN/STEP, as `perdure memory search` shows "
                "them"
            )
        origin = item.origin if item is not None else Origin(run=run, step=step)
        holds = await Holds(store).among(where, [origin])
        recalls, looked, complete = await recalls_of(store, where, id, most=runs)
        return Explained(
            id=id,
            item=item,
            proposal=proposal,
            hold=holds.get(origin),
            run=record,
            written=written,
            read=() if written is None else reads_before(ref, entries, written, labels=self._labels),
            recalls=recalls,
            looked=looked,
            complete=complete,
        )

    def _labels(self, step: str) -> tuple[str, ...]:
        """What the app's tool of that name says of its results now; empty where the step was none."""
        tool = self._app.tools.get(step.rpartition("/")[2].partition(":")[0])
        return () if tool is None else tuple(sorted(tool.terms.labels))

    async def spread(self, run: str, *, runs: int = RUNS, tenant: str | None = None) -> Spread:
        """How far what a run has written has spread: writes of runs that had been handed it, or what was made of it.

        At most `runs` journals are looked through, the newest first. Raises `UnknownRun`.
        """
        where, _ = await self._opened(tenant)
        if await self._app.store.get(RunRef(where, check_id(run, what="a run id"))) is None:
            raise UnknownRun(f"there is no run `{run}`: `perdure runs ls` shows what there is")
        return await spread_of(self._app.store, where, run, most=runs)

    async def export(
        self, subject: str | None = None, *, by: str, tenant: str | None = None
    ) -> AsyncGenerator[FoundItem]:
        """All that is remembered about a data subject, or of the whole tenant. It is recorded first who asks."""
        where, layers = await self._opened(tenant)
        if subject is not None:
            check_subject(subject)
        await self._record(where, "memory_export", {"subject": subject}, by=by)
        for layer in layers:
            after = ""
            while True:
                page = await layer.items(ItemQuery(tenant=where, subject=subject, after=after, limit=1000))
                for each in await self._with_holds(where, page.items):
                    yield each
                after = page.next
                if not after:
                    break

    # changing --------------------------------------------------------------------------------------------------

    async def undo(self, target: str, *, by: str, why: str, tenant: str | None = None) -> bool:
        """Withdraw what a run (`RUN`), or one write of it (`RUN/STEP`), has put into memory, or will.

        No run recalls it from then on, in any layer; nothing is deleted, and `restore` makes it as it was. False: it
        was withdrawn already. Raises `UnknownRun` or `UnknownItem` where there is no such run or write.
        """
        where, layers = await self._opened(tenant)
        run, step = split(target) if "/" in target else (check_id(target, what="a run id"), None)
        ref = RunRef(where, run)
        store = self._app.store
        if step is not None:
            await self.why(target, runs=0, tenant=where)
        elif await store.get(ref) is None:
            raise UnknownRun(f"there is no run `{run}`: `perdure runs ls` shows what there is")
        fresh = await Holds(store).withdraw(where, run, step, by=by, why=why)
        for layer in layers:  # also where it is held: who withdrew it may have died here
            await layer.withdraw(where, run, step, why=why)
        if fresh:
            await self._record(where, "memory_undo", {"target": target, "why": why}, by=by)
        return fresh

    async def undo_spread(
        self, run: str, *, by: str, why: str, runs: int = RUNS, tenant: str | None = None
    ) -> list[str]:
        """Withdraw what a run has written, and each write of `spread`; those of the latter that were not withdrawn yet.

        Each is withdrawn by itself, so that what turns out to be sound can be restored by itself.
        """
        await self.undo(run, by=by, why=why, tenant=tenant)  # first: nobody is handed it meanwhile
        further: list[str] = []
        for write in (await self.spread(run, runs=runs, tenant=tenant)).writes:
            because = f"{why} (handed {write.over} before)".strip()
            if await self.undo(write.id, by=by, why=because, tenant=tenant):
                further.append(write.id)
        return further

    async def restore(self, target: str, *, by: str, why: str, tenant: str | None = None) -> bool:
        """Take back an `undo`. False: nothing of that name is withdrawn."""
        where, layers = await self._opened(tenant)
        run, step = split(target) if "/" in target else (check_id(target, what="a run id"), None)
        if await Holds(self._app.store).get(where, run, step) is None:
            return False
        ref = RunRef(where, run)
        done = writes_of(ref, await self._app.store.read(ref))
        for layer in layers:  # before it is recalled again: who dies here finds it withdrawn still
            writes = {each.step: DoneWrite(each.tool, each.arguments) for each in done}
            await layer.restore(where, run, step, writes=writes)
        await Holds(self._app.store).restore(where, run, step)
        await self._record(where, "memory_restore", {"target": target, "why": why}, by=by)
        return True

    async def holds(self, *, tenant: str | None = None) -> list[Hold]:
        """What is withdrawn, by whom and why."""
        where, _ = await self._opened(tenant)
        return await Holds(self._app.store).ls(where)

    async def forget(self, subject: str, *, by: str, tenant: str | None = None) -> int:
        """Delete what is remembered about a data subject, in all layers, and what is proposed; how many items.

        For good, and of memory alone: what runs have recalled stands in their journals. `App.erase` takes all of a
        person away.
        """
        where, layers = await self._opened(tenant)
        check_subject(subject)
        gone = await Proposals(self._app.store).forget(where, subject)
        for layer in layers:
            gone += await layer.forget(where, subject)
        await self._record(where, "memory_forget", {"subject": subject, "items": gone}, by=by)
        return gone

    # reviewing -------------------------------------------------------------------------------------------------

    async def proposals(
        self, *, run: str | None = None, all: bool = False, limit: int = 100, tenant: str | None = None
    ) -> list[Proposal]:
        """Writes that wait for a person, of one run or of any; with `all` also what was decided in the last 90 days."""
        where, _ = await self._opened(tenant)
        return await Proposals(self._app.store).ls(where, run=run, all=all, limit=limit)

    async def accept(self, id: str, *, by: str, why: str = "", tenant: str | None = None) -> Proposal:
        """Do a write that was held back. It keeps its labels, and is labelled `reviewed` beside them.

        Raises `UnknownItem` where nothing of that name was proposed, `RunConflict` where somebody has decided
        otherwise, and `VersionConflict` where it cannot be done any more; then it still waits.
        """
        return await self._decide(id, "accepted", by=by, why=why, tenant=tenant)

    async def reject(self, id: str, *, by: str, why: str = "", tenant: str | None = None) -> Proposal:
        """Let a write that was held back never be done."""
        return await self._decide(id, "rejected", by=by, why=why, tenant=tenant)

    async def _decide(
        self, id: str, state: Literal["accepted", "rejected"], *, by: str, why: str, tenant: str | None
    ) -> Proposal:
        where, layers = await self._opened(tenant)
        proposals = Proposals(self._app.store)
        found = await proposals.get(where, *split(id))
        if found is None:
            raise UnknownItem(
                f"nothing waits for a review as `{id[:120]}`: `perdure memory review ls` shows what does"
            )
        if state == "accepted" and found.state != "accepted":
            layer = next((each for each in layers if each.layer == found.write.layer), None)
            if layer is None:
                raise ConfigError(f"no backend keeps the layer `{found.write.layer}` here")
            found = await proposals.decide(found, "accepting", by=by, why=why)
            try:
                await layer.accept(found.write.reviewed())
            except Exception:
                await proposals.decide(found, "waits", by=by, why=why)
                raise
        done = await proposals.decide(found, state, by=by, why=why)
        verb = "accept" if state == "accepted" else "reject"
        told = {"item": id, "why": done.why, "labels": [*done.write.origin.labels]}
        assert done.by is not None
        await self._record(where, f"memory_{verb}", told, by=done.by, name=f"memory-{verb}-{_digest(id)}")
        return done

    async def _record(
        self, tenant: str, what: str, arguments: dict[str, Any], *, by: str, name: str | None = None
    ) -> None:
        await record_change(self._app.store, tenant, what, arguments, by=by, name=name)

    async def _opened(self, tenant: str | None) -> tuple[str, list[Remembered]]:
        await self._app.open()
        where = self._app.tenant if tenant is None else check_id(tenant, what="a tenant")
        return where, self._layers()


def split(id: str) -> tuple[str, str]:
    """The run and the step of an item's name. Raises `ConfigError`."""
    run, _, step = id.partition("/")
    if not run or not step or "\0" in id:
        raise ConfigError(f"`{id[:120]}` names no item: give RUN/STEP, as `perdure memory search` shows it")
    return check_id(run, what="a run id"), step


async def _first(layers: Sequence[Remembered], query: ItemQuery) -> Item | None:
    for layer in layers:
        after = ""
        while True:
            page = await layer.items(replace(query, after=after, limit=1))
            if page.items:
                return page.items[0]
            after = page.next
            if not after:
                break
    return None


def _digest(id: str) -> str:
    import hashlib

    return hashlib.sha256(id.encode()).hexdigest()[:32]
