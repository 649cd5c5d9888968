"""The fleet: fair claims, priorities, limits, needs and labels; who is there, and what waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ...journal.fleet import Demand, Serves, Session, unserved
from ...journal.state import RunStatus, WaitReason
from ...journal.store import Claim, Store
from ..clocks import ManualClock
from ._scene import AGENTS, LEASE, Scene, begin, claimed, enter, mail, names, record_of, release, run_ref

__all__ = ["FleetConformance"]

WHY = ("no_worker_for_version", "nobody has `greeter` in version `1`")


async def flood(store: Store, tenant: str, runs: int, *, agent: str = "greeter", priority: int = 0) -> None:
    """Many runs of a tenant, all due."""
    for n in range(runs):
        await store.create(
            begin(f"{tenant}-{agent}-{n}", tenant=tenant, agent=agent, priority=priority, due=0)
        )


def tenants(claims: Sequence[Claim]) -> list[str]:
    """Whose runs were claimed, in order."""
    return [claim.run.ref.tenant for claim in claims]


@pytest.mark.asyncio
class FleetConformance(Scene):
    """Nobody is held up by somebody else's runs, and none goes on that may not."""

    # fairness --------------------------------------------------------------------------------------------------

    async def test_a_flood_of_one_tenant_does_not_hold_up_another(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Although all of the flood is longer due, the one run of the other is in the very next claim."""
        await flood(store, "flood", 30)
        clock.advance(1)
        await flood(store, "quiet", 1)
        await enter(store)

        assert "quiet" in tenants(await store.claim("w1", AGENTS, limit=4))

    async def test_a_full_worker_goes_round(self, store: Store) -> None:
        """Where there is room for one run at a time, each claim goes on behind the lane of the one before."""
        for tenant in ("a", "b", "c"):
            await flood(store, tenant, 2)
        await enter(store)

        turns = [tenants(await store.claim("w1", AGENTS, limit=1))[0] for _ in range(6)]

        assert sorted(turns[:3]) == sorted(turns[3:]) == ["a", "b", "c"]

    async def test_agents_and_needs_go_round_as_tenants_do(self, store: Store) -> None:
        """A lane is an agent, a version, needs and a tenant: a flood in one does not hold up another."""
        await flood(store, "t", 20, agent="busy")
        await store.create(begin("other-agent", tenant="t", agent="calm"))
        await store.create(begin("other-version", tenant="t", agent="busy", version="2"))
        await store.create(begin("other-needs", tenant="t", agent="busy", needs=("gpu",)))
        await enter(store)
        serves = [Serves("busy", "1"), Serves("busy", "2"), Serves("calm", "1")]

        claims = await store.claim("w1", serves, limit=4, labels=frozenset({"gpu"}))

        assert {"other-agent", "other-version", "other-needs"} < set(names(claims))

    async def test_what_one_lane_does_not_use_goes_to_the_others(self, store: Store) -> None:
        """A claim takes as much as there is room for, while there is anything that it can take."""
        await flood(store, "few", 1)
        await flood(store, "many", 20)
        await enter(store)

        assert len(await store.claim("w1", AGENTS, limit=10)) == 10
        assert len(await store.claim("w1", AGENTS, limit=99)) == 11

    async def test_more_tenants_than_room_are_all_served(self, store: Store) -> None:
        """Claim after claim, round the lanes: each tenant is served once before any is served twice."""
        for n in range(10):
            await flood(store, f"t{n}", 2)
        await enter(store)

        rounds = [t for _ in range(5) for t in tenants(await store.claim("w1", AGENTS, limit=2))]

        assert sorted(rounds) == sorted(f"t{n}" for n in range(10))

    # priorities ------------------------------------------------------------------------------------------------

    async def test_a_higher_priority_goes_first(self, store: Store, clock: ManualClock) -> None:
        """Within a lane by priority, then the longest due; the record shows it."""
        for name, priority in (("low", -5), ("first", 0), ("second", 0), ("urgent", 7)):
            record, _ = await store.create(begin(name, priority=priority))
            assert record.priority == (await record_of(store, name)).priority == priority
            clock.advance(1)
        await enter(store)

        claims = [names(await store.claim("w1", AGENTS, limit=1)) for _ in range(2)]
        assert claims == [["urgent"], ["first"]]
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["second", "low"]

    async def test_no_priority_jumps_the_queue_of_another_tenant(self, store: Store) -> None:
        """A tenant whose runs are all urgent gets no more than its share."""
        await flood(store, "loud", 10, priority=100)
        await flood(store, "meek", 10)
        await enter(store)

        assert sorted(tenants(await store.claim("w1", AGENTS, limit=6))) == ["loud"] * 3 + ["meek"] * 3

    # limits ----------------------------------------------------------------------------------------------------

    async def test_an_agent_with_a_limit(self, store: Store) -> None:
        """Over all workers and versions; a place that gets free is taken; other agents are not concerned."""
        await flood(store, "t", 5)
        await store.create(begin("v2", tenant="t", version="2"))
        await store.create(begin("free", tenant="t", agent="free"))
        await enter(store)
        await enter(store, "w2")
        serves = [Serves("greeter", "1", limit=2), Serves("greeter", "2", limit=2), Serves("free", "1")]

        first = await store.claim("w1", serves, limit=9)
        assert sorted(claim.run.agent for claim in first) == ["free", "greeter", "greeter"]
        assert await store.claim("w1", serves, limit=9) == []
        assert await store.claim("w2", serves, limit=9) == []

        ended = next(claim for claim in first if claim.run.agent == "greeter")
        assert await release(store, ended.run, RunStatus.SUCCEEDED)
        assert len(await store.claim("w2", serves, limit=9)) == 1

    async def test_an_agent_with_a_limit_for_each_tenant(self, store: Store) -> None:
        """One tenant has all its places taken; another still has its own."""
        await flood(store, "a", 5)
        await flood(store, "b", 5)
        await enter(store)
        serves = [Serves("greeter", "1", limit=3, limit_per_tenant=2)]

        claims = await store.claim("w1", serves, limit=9)

        assert sorted(tenants(claims)) in (["a", "a", "b"], ["a", "b", "b"])
        assert await store.claim("w1", serves, limit=9) == []

    async def test_a_tenant_with_a_limit(self, store: Store) -> None:
        """Over all agents: what runs of one agent takes the place of another's."""
        for agent in ("x", "y"):
            await flood(store, "a", 3, agent=agent)
            await flood(store, "b", 3, agent=agent)
        await enter(store)
        x, both = [Serves("x", "1")], [Serves("x", "1"), Serves("y", "1")]
        assert tenants(await store.claim("w1", x, limit=1, tenant_limit=2)) == ["a"]

        claims = await store.claim("w1", both, limit=9, tenant_limit=2)

        assert sorted(tenants(claims)) == ["a", "b", "b"]
        assert await store.claim("w1", both, limit=9, tenant_limit=2) == []

    async def test_full_lanes_do_not_hide_the_others(self, store: Store) -> None:
        """Room for one run, and many tenants whose places are all taken: the one that has a place is found."""
        for n in range(8):
            await flood(store, f"full{n}", 2)
        await enter(store)
        serves = [Serves("greeter", "1", limit_per_tenant=1)]
        assert len(await store.claim("w1", serves, limit=9)) == 8
        await flood(store, "open", 1)

        assert tenants(await store.claim("w1", serves, limit=1)) == ["open"]

    async def test_claims_at_once_keep_within_limits(self, store: Store, second: Store | None) -> None:
        """Two workers, in two processes where there are two, claim at the same time: never more than there is room for.

        One that finds the other at work may come back with nothing, and is told to look again.
        """
        await flood(store, "a", 12)
        await flood(store, "b", 12)
        stores = [store, second or store]
        serves = [Serves("greeter", "1", limit=7, limit_per_tenant=4)]
        taken: list[Claim] = []

        async def work(n: int) -> None:
            await enter(stores[n], f"w{n}")
            while len(taken) < 7:
                seen = stores[n].changes()
                claims = await stores[n].claim(f"w{n}", serves, limit=2)
                taken.extend(claims)
                if not claims and len(taken) < 7:
                    await stores[n].changed(seen, within=0.1)

        await asyncio.gather(work(0), work(1))

        assert len(taken) == 7
        assert sorted(tenants(taken)) in (["a"] * 3 + ["b"] * 4, ["a"] * 4 + ["b"] * 3)
        for n in range(2):
            assert await stores[n].claim(f"w{n}", serves, limit=9) == []

    async def test_only_asks_for_no_place(self, store: Store) -> None:
        """A run that goes alone is claimed by name whatever the limits and needs: it has its place already."""
        await claimed(store, "one")
        await store.create(begin("two", needs=("gpu",)))
        serves = [Serves("greeter", "1", limit=1)]

        assert names(await store.claim("w1", serves, limit=1, only=run_ref("two"))) == ["two"]

    # needs and labels ------------------------------------------------------------------------------------------

    async def test_only_workers_with_the_labels_claim(self, store: Store) -> None:
        """All needs must be met; more labels do no harm; who needs nothing runs anywhere."""
        for name, needs in (
            ("any", ()),
            ("gpu", ("gpu",)),
            ("eu", ("region=eu",)),
            ("both", ("gpu", "region=eu")),
        ):
            record, _ = await store.create(begin(name, needs=needs))
            assert record.needs == needs
        await enter(store)

        async def claim(*labels: str) -> set[str]:
            return set(names(await store.claim("w1", AGENTS, limit=9, labels=frozenset(labels))))

        assert await claim() == {"any"}
        assert await claim("region") == set()
        assert await claim("region=eu", "fast") == {"eu"}
        assert await claim("fast", "gpu", "region=eu") == {"both", "gpu"}

    async def test_lanes_that_are_not_served_are_passed_over(self, store: Store) -> None:
        """Many tenants wait for what this worker lacks, before and behind those that it can serve."""
        for n in range(6):
            for needs in (("a",), ("m",), ("z",)):
                await store.create(begin(f"{needs[0]}{n}", tenant=f"t{n}", needs=needs))
        await enter(store)

        claims = [await store.claim("w1", AGENTS, limit=2, labels=frozenset({"m"})) for _ in range(4)]

        assert sorted(name for claim in claims for name in names(claim)) == [f"m{n}" for n in range(6)]

    # timers ----------------------------------------------------------------------------------------------------

    async def test_timers_come_due_at_a_claim(self, store: Store, clock: ManualClock) -> None:
        """More at once than a claim takes: none is lost, the longest due goes first, and each is claimed once."""
        now = clock.micros()
        for n in range(9):
            await store.create(begin(f"r{n}", due=now + (n + 1) * 1_000_000))
        await enter(store, lease=3600)
        assert await store.claim("w1", AGENTS, limit=9) == []
        assert await store.next_timer() == now + 1_000_000
        clock.advance(6)

        assert names(await store.claim("w1", AGENTS, limit=4)) == ["r0", "r1", "r2", "r3"]
        assert names(await store.claim("w1", AGENTS, limit=4)) == ["r4", "r5"]
        assert await store.next_timer() == now + 7_000_000

    async def test_a_message_makes_ready_what_waits_for_a_time(
        self, store: Store, clock: ManualClock
    ) -> None:
        """A run that sleeps is claimed at once when somebody writes to it, and its timer is gone."""
        claim = await claimed(store)
        later = clock.micros() + 10**12
        assert await release(store, claim.run, RunStatus.WAITING, reasons=("timer",), next_wake=later)
        assert await store.next_timer() == later

        await store.post(mail())

        assert await store.next_timer() is None
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["r1"]

    # who is there ----------------------------------------------------------------------------------------------

    async def test_sessions_are_listed(self, store: Store, clock: ManualClock) -> None:
        """Those alive, the oldest first, with all that they said of themselves and how many runs they hold."""
        began = clock.micros()
        worker = Session(
            id="w1",
            lease=round(LEASE * 1e6),
            label="here:1",
            agents=(("greeter", "1"), ("greeter", "2")),
            labels=frozenset({"gpu", "region=eu"}),
            concurrency=7,
        )
        await store.register(worker)
        clock.advance(1)
        await enter(store, "w0")
        await claimed(store, "a")
        await claimed(store, "b")

        first, other = await store.sessions()

        assert (first.id, first.label, first.since) == ("w1", "here:1", began)
        assert first.expires == clock.micros() + worker.lease, "`claimed` has renewed it"
        assert (first.agents, first.labels, first.concurrency) == (worker.agents, worker.labels, 7)
        assert (first.runs, other.id, other.runs) == (2, "w0", 0)
        await store.deregister("w1")
        assert [s.id for s in await store.sessions()] == ["w0"]
        clock.advance(LEASE)
        assert await store.sessions() == []

    # what waits for nobody -------------------------------------------------------------------------------------

    async def test_demands(self, store: Store, clock: ManualClock) -> None:
        """Agent, version and needs of the runs that are ready, each once; counted where that is asked for."""
        assert await store.demands() == await store.demands(counted=True) == []
        began = clock.micros()
        for tenant in ("a", "b"):
            await flood(store, tenant, 2)
            clock.advance(1)
        await store.create(begin("gpu", needs=("gpu", "region=eu")))
        await store.create(begin("v2", version="2"))
        await store.create(begin("later", agent="later", due=clock.micros() + 1_000_000))
        await claimed(store, "busy")

        assert await store.demands() == [
            Demand("greeter", "1"),
            Demand("greeter", "1", ("gpu", "region=eu")),
            Demand("greeter", "2"),
        ]
        clock.advance(1)
        now = began + 3_000_000
        assert await store.demands(counted=True) == [
            Demand("greeter", "1", (), 4, began),
            Demand("greeter", "1", ("gpu", "region=eu"), 1, now - 1_000_000),
            Demand("greeter", "2", (), 1, now - 1_000_000),
            Demand("later", "1", (), 1, now),
        ]

    async def test_unserved(self, store: Store) -> None:
        """By version first, then by labels; whoever is alive and able is enough."""
        for version, needs in (("1", ()), ("1", ("gpu",)), ("2", ()), ("2", ("gpu",))):
            await store.create(begin(f"v{version}{'-'.join(needs)}", version=version, needs=needs))
        one = Session(id="w1", lease=10**9, agents=(("greeter", "1"),))
        await store.register(one)

        found = unserved(await store.demands(), await store.sessions())

        assert found == [
            (Demand("greeter", "1", ("gpu",)), WaitReason.NO_WORKER_FOR_NEEDS),
            (Demand("greeter", "2"), WaitReason.NO_WORKER_FOR_VERSION),
            (Demand("greeter", "2", ("gpu",)), WaitReason.NO_WORKER_FOR_VERSION),
        ]
        both = (("greeter", "1"), ("greeter", "2"))
        await store.register(Session(id="w2", lease=10**9, agents=both, labels=frozenset({"gpu", "x"})))
        assert unserved(await store.demands(), await store.sessions()) == []

    async def test_stranded_runs_say_so_until_they_are_claimed(self, store: Store) -> None:
        """In bounded batches, each once; status and epoch stay; the claim takes the reasons away."""
        await flood(store, "t", 5)
        await store.create(begin("gpu", tenant="t", needs=("gpu",)))
        demand = Demand("greeter", "1")

        assert [await store.strand(demand, WHY, limit=3) for _ in range(3)] == [3, 2, 0]

        for n in range(5):
            record = await record_of(store, f"t-greeter-{n}", tenant="t")
            assert (record.reasons, record.status, record.epoch) == (WHY, RunStatus.PENDING, 0)
        assert (await record_of(store, "gpu", tenant="t")).reasons == ()
        assert await store.strand(demand, ("no_worker_for_needs", "another reason"), limit=9) == 5
        await enter(store)
        claims = await store.claim("w1", AGENTS, limit=9)
        assert [claim.run.reasons for claim in claims] == [()] * 5

    async def test_a_run_that_waits_for_something_else_is_not_stranded(self, store: Store) -> None:
        """What is not due waits for no worker: its reasons stay."""
        claim = await claimed(store)
        assert await release(store, claim.run, RunStatus.WAITING, reasons=("signal",))

        assert await store.strand(Demand("greeter", "1"), WHY, limit=9) == 0
        assert (await record_of(store)).reasons == ("signal",)
