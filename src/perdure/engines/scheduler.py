"""Fires schedules: each firing once over all workers, by compare-and-set on the schedule's row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import pydantic_core

from ..core.errors import StoreError
from ..core.ids import RunRef
from ..core.principal import APP_ISSUER, Principal
from ..journal import ENDINGS, NewRun, Post, ScheduleRecord, Store
from ..runtime import AgentName, new_run
from ..runtime.calendar.schedule import (
    MOST_SEEN,
    SCHEDULE_LABEL,
    SCHEDULED_AT,
    Plan,
    ScheduleSpec,
    ScheduleState,
    nominal_text,
    plan,
    run_id,
)

__all__ = ["Scheduler", "scheduled_run"]

log = logging.getLogger("perdure.schedules")

MOST_STEPS = 1000
"""Steps of one schedule before the others have their turn."""


class Scheduler:
    """The schedules that the code of one worker declares. Used within the worker's loop.

    A worker fires what it declares itself, by the spec that stands in the store: so of two versions of the code that
    run side by side both may fire, and both do the same.
    """

    def __init__(self, store: Store, tenant: str, declared: Mapping[str, ScheduleSpec]) -> None:
        self._store = store
        self._tenant = tenant
        self._declared = declared
        self._next: int | None = None
        self._waits = False
        """a firing waits for a run to end: each news may be that"""
        self._faulty: set[tuple[str, int]] = set()

    async def begin(self, session: str) -> int | None:
        """Say what this session declares, bring the rows up to date and fire what is due; when the next one is."""
        if not self._declared:
            return None
        digests = {name: spec.digest for name, spec in self._declared.items()}
        await self._store.declare_schedules(session, self._tenant, digests)
        return await self.tick(afresh=True)

    async def tick(self, *, afresh: bool = False) -> int | None:
        """Fire what is due; when the next firing is. Cheap where nothing is due and nothing is read `afresh`."""
        if not self._declared:
            return None
        if not afresh and not self._waits and (self._next is None or self._next > self._store.now()):
            return self._next
        self._next, self._waits = None, False
        rows = {row.name: row for row in await self._store.schedules(tenant=self._tenant)}
        for name, spec in self._declared.items():
            row = rows.get(name)
            revision = 0 if row is None else row.revision
            if (name, revision) in self._faulty:
                continue
            try:
                row = await self._declare(spec, name, row)
                if row is not None and not row.paused:
                    await self._attend(row)
            except StoreError:
                raise
            except Exception:
                self._faulty.add((name, revision))
                log.exception("schedule `%s` cannot be carried out, and stands until it is changed", name)
        return self._next

    # declarations ----------------------------------------------------------------------------------------------

    async def _declare(
        self, spec: ScheduleSpec, name: str, row: ScheduleRecord | None
    ) -> ScheduleRecord | None:
        """The row, brought up to date with what this code declares where that is the newest declaration."""
        now = self._store.now()
        if row is None:
            state = ScheduleState(digest=spec.digest, seen=(spec.digest,))
            new = ScheduleRecord(
                tenant=self._tenant,
                name=name,
                agent=spec.agent,
                spec=spec.model_dump_json(),
                state=state.model_dump_json(),
                next=spec.timetable.next_after(now),
            )
            return await self._written(new)
        state = ScheduleState.model_validate_json(row.state)
        if state.digest == spec.digest:
            return row
        if spec.digest in state.seen:
            # It stood there before: this may be a worker of the old code, started again in the middle of a deploy.
            live = await self._store.declared_schedules(self._tenant)
            if state.digest in live.get(name, ()):
                return row
        before = ScheduleSpec.model_validate_json(row.spec)
        same_times = before.timetable == spec.timetable and before.jitter == spec.jitter
        seen = (*(digest for digest in state.seen if digest != spec.digest), spec.digest)[-MOST_SEEN:]
        state = state.model_copy(update={"digest": spec.digest, "seen": seen})
        log.info("schedule `%s` is as this worker's code declares it from now on", name)
        return await self._written(
            replace(
                row,
                agent=spec.agent,
                spec=spec.model_dump_json(),
                state=state.model_dump_json(),
                next=row.next if same_times else spec.timetable.next_after(now),
            )
        )

    async def _written(self, row: ScheduleRecord) -> ScheduleRecord | None:
        if await self._store.write_schedule(row):
            return replace(row, revision=row.revision + 1)
        self._look_soon()  # somebody else wrote it
        return None

    # firing ----------------------------------------------------------------------------------------------------

    async def _attend(self, row: ScheduleRecord) -> None:
        """Carry out what is due of one schedule, and take down when to look at it again."""
        spec = ScheduleSpec.model_validate_json(row.spec)
        waits = False
        for _ in range(MOST_STEPS):
            now = self._store.now()
            due = None if row.next is None else spec.due(row.next, row.name)
            if (due is None or due > now) and ScheduleState.model_validate_json(row.state).waits is None:
                break
            waits = await self._goes_on(row.last_run)
            todo = plan(row, spec, now=now, going_on=waits)
            if todo is None:
                break
            if not await self._carry_out(row, spec, todo):
                return self._look_soon()
            row = replace(todo.record, revision=row.revision + 1)
            waits = False
        self._waits = self._waits or waits
        if row.next is not None:
            due = spec.due(row.next, row.name)
            if due > self._store.now() or not waits:
                self._next = due if self._next is None else min(due, self._next)

    async def _goes_on(self, id: str | None) -> bool:
        run = None if id is None else await self._store.get(RunRef(self._tenant, id))
        return run is not None and run.status not in ENDINGS

    async def _carry_out(self, row: ScheduleRecord, spec: ScheduleSpec, todo: Plan) -> bool:
        key = await self._store.tenant_key(self._tenant)
        at = self._store.now()
        runs = [scheduled_run(row, spec, nominal, key=key, at=at) for nominal in todo.start]
        posts: list[Post] = []
        if todo.cancel and row.last_run is not None:
            body = {"reason": "the schedule's next firing has come"}
            posts.append(
                Post(
                    ref=RunRef(self._tenant, row.last_run),
                    kind="cancel",
                    name="",
                    id=f"schedule-{row.name}",
                    sender=f"schedule {row.name}",
                    body=pydantic_core.to_json(body),
                )
            )
        if not await self._store.write_schedule(todo.record, runs=runs, posts=posts):
            return False
        if todo.note:
            log.warning("schedule `%s`: %s", row.name, todo.note)
        for run in runs:
            log.info("schedule `%s`: run %s started", row.name, run.ref)
        return True

    def _look_soon(self) -> None:
        self._next = self._store.now()


def scheduled_run(
    row: ScheduleRecord, spec: ScheduleSpec, nominal: int, *, key: bytes, at: int, id: str | None = None
) -> NewRun:
    """The run that a schedule starts for a nominal time; `key` is the tenant's, `at` now."""
    return new_run(
        RunRef(row.tenant, id or run_id(row.name, nominal)),
        AgentName(spec.agent, spec.version, spec.priority, spec.needs),
        spec.input.encode(),
        key=key,
        at=at,
        actor=f"schedule {row.name}",
        on_behalf_of=Principal(
            subject=f"schedule:{row.name}",
            issuer=APP_ISSUER if spec.grants else None,
            grants=frozenset(spec.grants),
        ),
        labels={**spec.labels, SCHEDULE_LABEL: row.name, SCHEDULED_AT: nominal_text(nominal)},
        deadline=None if spec.deadline is None else at + spec.deadline,
    )
