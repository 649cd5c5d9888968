"""Schedules: rows that are changed by one alone, runs that come with the change, and who declares what."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ...core.ids import DEFAULT_TENANT
from ...journal.schedule import ScheduleRecord
from ...journal.state import RunStatus
from ...journal.store import Store
from ..clocks import ManualClock
from ._scene import Scene, begin, claimed, enter, mail, record_of, release, run_ref, started

__all__ = ["ScheduleConformance"]


def schedule(name: str = "daily", *, tenant: str = DEFAULT_TENANT) -> ScheduleRecord:
    """A row that is not there yet."""
    return ScheduleRecord(
        tenant=tenant,
        name=name,
        agent="greeter",
        spec='{"cron": "0 9 * * *", "input": "\\u0000 \u00e9"}',
        state='{"fired": 0}',
        next=1_767_258_000_000_000,
    )


async def kept(store: Store, name: str = "daily", *, tenant: str = DEFAULT_TENANT) -> ScheduleRecord:
    """The row as it is stored."""
    return next(r for r in await store.schedules(tenant=tenant) if r.name == name)


@pytest.mark.asyncio
class ScheduleConformance(Scene):
    """Of all workers that see a firing come due one carries it out, whole."""

    async def test_a_schedule_comes_back_as_it_was_written(self, store: Store) -> None:
        """Every column, also those that are not set; each write raises the revision by one."""
        new = schedule()

        assert await store.write_schedule(new)
        first = await kept(store)
        changed = replace(
            first,
            agent="other",
            spec="{}",
            state='{"fired": 1}',
            next=None,
            last=1,
            last_run="daily-1",
            paused=True,
        )
        assert await store.write_schedule(changed)

        assert first == replace(new, revision=1)
        assert await kept(store) == replace(changed, revision=2)

    async def test_schedules_are_listed_by_tenant_and_name(self, store: Store) -> None:
        """Of one tenant, or of all."""
        for tenant, name in (("b", "one"), ("a", "two"), ("a", "Zeta"), ("a", "one")):
            assert await store.write_schedule(schedule(name, tenant=tenant))

        assert [(r.tenant, r.name) for r in await store.schedules()] == [
            ("a", "Zeta"),
            ("a", "one"),
            ("a", "two"),
            ("b", "one"),
        ]
        assert [r.name for r in await store.schedules(tenant="b")] == ["one"]
        assert await store.schedules(tenant="c") == []

    async def test_a_new_schedule_does_not_replace_one_that_is_there(self, store: Store) -> None:
        """Revision 0 means: not there yet."""
        assert await store.write_schedule(schedule())

        assert not await store.write_schedule(replace(schedule(), spec="{}"))

        assert await kept(store) == replace(schedule(), revision=1)

    async def test_who_is_late_writes_nothing(self, store: Store) -> None:
        """Neither the row, nor the runs and messages that came with it."""
        await started(store)
        assert await store.write_schedule(schedule())
        stale = await kept(store)
        assert await store.write_schedule(replace(stale, last_run="first"))

        refused = replace(stale, last_run="second")
        assert not await store.write_schedule(refused, runs=[begin("daily-2")], posts=[mail()])

        assert (await kept(store)).last_run == "first"
        assert await store.get(run_ref("daily-2")) is None
        assert (await record_of(store)).inbox_seq == 0

    async def test_runs_are_accepted_with_the_row(self, store: Store) -> None:
        """Due at once, once per id; one that is there already stays as it is."""
        there = await started(store, "daily-1")
        assert await store.write_schedule(schedule())

        runs = [begin("daily-1", labels={"schedule": "daily"}), begin("daily-2")]
        assert await store.write_schedule(await kept(store), runs=runs)

        assert await record_of(store, "daily-1") == there
        new = await record_of(store, "daily-2")
        assert (new.status, new.agent, new.head) == (RunStatus.PENDING, "greeter", 1)
        assert await store.read(run_ref("daily-2")) == [runs[1].first]

    async def test_a_run_comes_with_its_tenants_key(self, store: Store) -> None:
        """Also where it is the tenant's first: whoever claims it needs the key."""
        runs = [begin("daily-1", tenant="fresh")]
        assert await store.write_schedule(schedule(tenant="fresh"), runs=runs)

        claim = await claimed(store, "daily-1", tenant="fresh")

        assert claim.tenant_key == await store.tenant_key("fresh")

    async def test_messages_are_delivered_with_the_row(self, store: Store) -> None:
        """To runs that can take them; for one that is gone or has ended they are dropped, and nothing fails."""
        run = await started(store)
        ended = await claimed(store, "ended")
        assert await release(store, ended.run, RunStatus.SUCCEEDED)
        posts = [mail(to="nobody"), mail(to="ended"), mail()]

        assert await store.write_schedule(schedule(), posts=posts)

        assert [m.id for m in await store.inbox(run.rid, after=0)] == ["m1"]
        assert await store.inbox(ended.run.rid, after=0) == []

    async def test_a_schedule_is_removed(self, store: Store) -> None:
        """That of this tenant and name alone; its name is free again."""
        for tenant, name in (("a", "daily"), ("b", "daily"), ("a", "weekly")):
            assert await store.write_schedule(schedule(name, tenant=tenant))

        assert await store.remove_schedule("a", "daily")
        assert not await store.remove_schedule("a", "daily")

        assert [(r.tenant, r.name) for r in await store.schedules()] == [("a", "weekly"), ("b", "daily")]
        assert await store.write_schedule(schedule(tenant="a"))

    async def test_a_write_to_a_removed_schedule_does_not_bring_it_back(self, store: Store) -> None:
        """Whoever read it before is late."""
        assert await store.write_schedule(schedule())
        read = await kept(store)
        await store.remove_schedule(DEFAULT_TENANT, "daily")

        assert not await store.write_schedule(read, runs=[begin("daily-1")])

        assert await store.schedules() == []
        assert await store.get(run_ref("daily-1")) is None

    async def test_of_two_stores_one_fires(self, store: Store, other: Store) -> None:
        """Fifty times both try at once: each revision is written by one of them, and each firing counted once."""
        assert await store.write_schedule(schedule())
        for n in range(50):
            read = await kept(store)
            assert await kept(other) == read
            tries = [
                each.write_schedule(replace(read, last=n, last_run=f"daily-{n}"), runs=[begin(f"daily-{n}")])
                for each in (store, other)
            ]
            assert sorted(await asyncio.gather(*tries)) == [False, True]

        final = await kept(store)
        assert (final.revision, final.last_run) == (51, "daily-49")

    # declarations ----------------------------------------------------------------------------------------------

    async def test_what_live_sessions_declare(self, store: Store, clock: ManualClock) -> None:
        """All digests of a name; those of a session whose lease ran out, or that ended, count no more."""
        for session, lease in (("w1", 10.0), ("w2", 60.0), ("w3", 60.0)):
            await enter(store, session, lease=lease)
        await store.declare_schedules("w1", DEFAULT_TENANT, {"daily": "old", "weekly": "old"})
        await store.declare_schedules("w2", DEFAULT_TENANT, {"daily": "new"})
        await store.declare_schedules("w3", DEFAULT_TENANT, {"daily": "new", "yearly": "new"})

        assert await store.declared_schedules(DEFAULT_TENANT) == {
            "daily": {"old", "new"},
            "weekly": {"old"},
            "yearly": {"new"},
        }
        clock.advance(10)
        assert await store.declared_schedules(DEFAULT_TENANT) == {"daily": {"new"}, "yearly": {"new"}}
        await store.deregister("w3")
        assert await store.declared_schedules(DEFAULT_TENANT) == {"daily": {"new"}}

    async def test_a_declaration_replaces_the_one_before(self, store: Store) -> None:
        """Of the same session and tenant."""
        await enter(store)
        await store.declare_schedules("w1", DEFAULT_TENANT, {"daily": "1", "weekly": "1"})
        await store.declare_schedules("w1", "other", {"daily": "1"})

        await store.declare_schedules("w1", DEFAULT_TENANT, {"daily": "2"})

        assert await store.declared_schedules(DEFAULT_TENANT) == {"daily": {"2"}}
        assert await store.declared_schedules("other") == {"daily": {"1"}}

    async def test_a_session_that_nobody_knows_declares_nothing(self, store: Store) -> None:
        """And what sessions that are gone had declared does not stand in the way."""
        await enter(store, "w1")
        await store.declare_schedules("gone", DEFAULT_TENANT, {"daily": "1"})
        await store.declare_schedules("w1", DEFAULT_TENANT, {"weekly": "1"})
        await store.declare_schedules("gone", DEFAULT_TENANT, {"daily": "2"})

        assert await store.declared_schedules(DEFAULT_TENANT) == {"weekly": {"1"}}
