"""S10 and S18: what the user may not do, no agent does for them; and no child has more than its parent."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, ConfigError, Kind, Principal, PrincipalRefused, Refused, Run, RunFailed
from perdure.journal import RunQuery
from perdure.testing import until_waiting

IDP = "https://login.example.org"
PAY, READ = "payments:write", "payments:read"


def user(name: str, *grants: str, **more: Any) -> Principal:
    return Principal(subject=f"user:{name}", issuer=IDP, grants=frozenset(grants), **more)


class Bank:
    """An app whose agent pays for whoever asks, and the payments that were made."""

    def __init__(self, url: str) -> None:
        self.app = app = App(url)
        self.paid: list[int] = []
        self.looked = 0

        @app.tool(effect="write", requires=PAY)
        async def pay(amount: int) -> str:
            self.paid.append(amount)
            return f"paid {amount}"

        @app.tool(effect="read", requires=READ, cache=timedelta(minutes=5))
        async def balance() -> int:
            self.looked += 1
            return 100

        @app.agent("clerk")
        async def clerk(run: Run, amount: int) -> Any:
            try:
                return await run.call(pay, amount)
            except Refused as refused:
                return str(refused)

        @app.agent("looks")
        async def looks(run: Run) -> Any:
            return await run.call(balance)

        self.pay, self.balance, self.clerk, self.looks = pay, balance, clerk, looks

    async def verdicts(self, run_id: str) -> list[dict[str, Any]]:
        entries = await self.app.store.read(self.app.ref(run_id))
        return [json.loads(e.payload) for e in entries if e.kind == Kind.VERDICT]


@pytest.fixture
def bank(store_url: str) -> Bank:
    return Bank(store_url)


async def test_s10_the_agent_may_and_the_user_may_not(bank: Bank) -> None:
    """The same agent, and the same tool: it is the user's grants that decide."""
    async with bank.app as app:
        ann = await app.start(bank.clerk, 5, run_id="ann", on_behalf_of=user("ann", PAY, READ))
        assert await ann.result() == "paid 5"

        bob = await app.start(bank.clerk, 6, run_id="bob", on_behalf_of=user("bob", READ))
        told = await bob.result()
        said = await app.start(bank.clerk, 7, run_id="said", by="user:ann")
        nobody = await app.start(bank.clerk, 8, run_id="nobody")
        assert "`pay` was not called: `user:bob`, for whom this run acts, has not been granted" in told
        assert (
            f"nobody vouched for `user:ann`, who therefore has no grants, and it takes `{PAY}`"
            in await said.result()
        )
        assert "this run acts for nobody who was named" in await nobody.result()

        kinds = {e.kind for e in await app.store.read(app.ref("bob"))}
        (denied,) = await bank.verdicts("bob")

    assert bank.paid == [5]
    assert not kinds & {Kind.INTENT, Kind.UNKNOWN}
    assert denied == {
        "stage": "scope",
        "verdict": "denied",
        "tool": "pay",
        "principal": "user:bob",
        "issuer": IDP,
        "requires": [PAY],
        "lacks": [PAY],
        "why": told,
    }


async def test_s10_nothing_leads_around_it(bank: Bank) -> None:
    """Neither what another fetched before, nor a fallback, nor a cache of the same name that nobody vouched for."""
    app = bank.app

    @app.tool(effect="read", requires=READ, fallback=[bank.balance])
    async def rate() -> int:
        raise ConnectionRefusedError("away")

    @app.agent("asks")
    async def asks(run: Run, n: int) -> Any:
        return await run.call(rate)

    async with app:
        assert await (await app.start(bank.looks, on_behalf_of=user("ann", READ))).result() == 100
        assert bank.looked == 1
        for whose in (
            {"by": "user:ann"},
            {"on_behalf_of": user("ann")},
            {
                "on_behalf_of": Principal(
                    subject="user:ann", issuer="https://other.example.org", grants=frozenset([PAY])
                )
            },
        ):
            refused = await app.start(bank.looks, **whose)  # type: ignore[arg-type]
            with pytest.raises(RunFailed, match="`balance` was not called"):
                await refused.result()
            no_way = await app.start(asks, 1, **whose)  # type: ignore[arg-type]
            with pytest.raises(RunFailed, match="`rate` was not called"):
                await no_way.result()
        other = Principal(subject="user:ann", issuer="https://other.example.org", grants=frozenset([READ]))
        assert await (await app.start(bank.looks, on_behalf_of=other)).result() == 100
    assert bank.looked == 2, "what is kept for one issuer's ann is not the other's"


async def test_s10_it_holds_again_after_a_wait_and_on_a_replay(bank: Bank) -> None:
    """Grants that end while the run waits are gone when it goes on; what was paid before is not asked again."""
    app = bank.app

    @app.agent("waits")
    async def waits(run: Run) -> list[Any]:
        first = await run.call(bank.pay, 1)
        assert run.on_behalf_of is not None
        for_whom = run.on_behalf_of
        await run.ask("Again?")
        try:
            second = await run.call(bank.pay, 2)
        except Refused as refused:
            second = str(refused)
        assert run.on_behalf_of == for_whom
        return [first, second, sorted(for_whom.grants), for_whom.issuer]

    async with app:
        until = app.store.now() + 60_000_000
        lasting = await app.start(waits, run_id="lasting", on_behalf_of=user("ann", PAY))
        ending = await app.start(waits, run_id="ending", on_behalf_of=user("ann", PAY, grants_until=until))
        for run in (lasting, ending):
            await until_waiting(app, run, "approval")
        app.store.now = lambda: until + 1  # type: ignore[method-assign]
        for run in (lasting, ending):
            await app.answer(run.id, "ask", approved=True, by="bob")
        assert await lasting.result() == ["paid 1", "paid 2", [PAY], IDP]
        _, second, grants, _ = await ending.result()
    assert second == (
        f"`pay` was not called: the grants of `user:ann` have ended since this run was started, and it takes `{PAY}`"
    )
    assert grants == [PAY], "what was recorded stays what was recorded"
    assert bank.paid == [1, 1, 2]


async def test_s18_a_child_has_what_its_parent_has_and_never_more(bank: Bank) -> None:
    app = bank.app

    @app.agent("below")
    async def below(run: Run) -> Any:
        assert run.on_behalf_of is not None
        return [run.on_behalf_of.subject, sorted(run.on_behalf_of.grants), run.on_behalf_of.issuer]

    @app.agent("pays", requires={PAY})
    async def pays(run: Run) -> Any:
        return await run.call(bank.pay, 9)

    @app.agent("narrow")
    async def narrow(run: Run) -> str:
        return await run.child(pays)

    @app.agent("parent")
    async def parent(run: Run, how: str) -> Any:
        match how:
            case "same":
                return await run.child(below)
            case "less":
                return await run.child(below, grants={READ})
            case "more":
                return await run.child(below, grants={READ, "payments:approve"})
            case "requires":
                return await run.child(pays)
            case "leaves out":
                return await run.child(pays, grants={READ})
            case _:
                return await run.child(narrow, grants=[READ])

    async def ends(how: str, principal: Principal | None = None, **whose: Any) -> str:
        run = await app.start(parent, how, on_behalf_of=principal, **whose)
        with pytest.raises(RunFailed) as failed:
            await run.result()
        verdicts = await bank.verdicts(run.id)
        assert [v["verdict"] for v in verdicts] == (["denied"] if how != "twice" else [])
        return str(failed.value)

    async with app:
        ann = user("ann", PAY, READ)
        for how, grants in (("same", [READ, PAY]), ("less", [READ])):
            told = await (await app.start(parent, how, on_behalf_of=ann)).result()
            assert told == ["user:ann", grants, IDP]
        assert await (await app.start(parent, "requires", on_behalf_of=ann)).result() == "paid 9"

        more = await ends("more", ann)
        assert "child `below` was not started: it would have more than its parent" in more
        assert "`user:ann`, for whom this run acts, has not been granted `payments:approve`" in more
        assert "it requires more than its parent has" in await ends("requires", user("bob", READ))
        assert "nobody vouched for `user:ann`" in await ends("requires", by="user:ann")
        assert "acts for nobody who was named" in await ends("requires")
        assert f"it requires `{PAY}`, which `grants` leaves out" in await ends("leaves out", ann)
        assert "it requires more than its parent has" in await ends("twice", ann)
    assert bank.paid == [9]


async def test_the_chain_of_agents_is_journaled_and_told_by_tokens(bank: Bank) -> None:
    pytest.importorskip("joserfc")
    from perdure.runtime.delegation import delegation_in

    app = bank.app

    @app.agent("third")
    async def third(run: Run) -> None: ...

    @app.agent("second")
    async def second(run: Run, n: int) -> None:
        if n == 0:
            await run.continue_as_new(1)
        await run.child(third)

    @app.agent("first")
    async def first(run: Run) -> None:
        await run.child(second, 0)

    async with app:
        await (await app.start(first, run_id="top", on_behalf_of=user("ann", READ))).result()
        await (await app.start(first, run_id="said", by="user:ann")).result()
        runs = {r.ref.id: r for r in await app.store.find(RunQuery(principal="user:ann"))}
        assert len(runs) == 6
        (last,) = [r for r in runs.values() if r.agent == "third" and r.ref.id.startswith("top")]
        started = json.loads((await app.store.read(last.ref))[0].payload)
        (unsaid,) = [r for r in runs.values() if r.agent == "third" and r.ref.id.startswith("said")]
        only_said = json.loads((await app.store.read(unsaid.ref))[0].payload)

    assert [handed["agent"] for handed in started["chain"]] == ["second", "first"]
    assert started["chain"][1]["run"] == "top"
    assert started["on_behalf_of"] == {"subject": "user:ann", "issuer": IDP, "grants": [READ]}
    delegation = delegation_in(started, tenant="default", agent="third", trust_domain="example.org")
    assert (delegation.subject, delegation.subject_issuer) == ("user:ann", IDP)
    names = [f"spiffe://example.org/t/default/agent/{name}" for name in ("second", "first")]
    assert list(delegation.chain) == names
    assert "on_behalf_of" not in only_said
    told = delegation_in(only_said, tenant="default", agent="third", trust_domain="example.org")
    assert (told.subject, told.subject_issuer) == ("spiffe://example.org/t/default/agent/third", None)


async def test_an_agent_is_run_for_nobody_who_may_less_than_it_requires(bank: Bank) -> None:
    app = bank.app

    @app.agent("pays", requires=PAY)
    async def pays(run: Run, amount: int) -> Any:
        return await run.call(bank.pay, amount)

    async with app:
        for whose in ({}, {"by": "user:ann"}, {"on_behalf_of": user("ann", READ)}):
            with pytest.raises(PrincipalRefused, match=rf"agent `pays` requires `{PAY}` of the user"):
                await app.start(pays, 3, **whose)  # type: ignore[arg-type]
        over = app.store.now() - 1
        with pytest.raises(PrincipalRefused, match="has expired"):
            await app.start(pays, 3, on_behalf_of=user("ann", PAY, expires_at=over))
        with pytest.raises(PrincipalRefused, match="of tenant `acme`, and starts no run of tenant `default`"):
            await app.start(pays, 3, on_behalf_of=user("ann", PAY, tenant="acme"))
        with pytest.raises(ConfigError, match="leave `by` out"):
            await app.start(pays, 3, by="user:bob", on_behalf_of=user("ann", PAY))
        run = await app.start(pays, 3, run_id="r", on_behalf_of=user("ann", PAY, tenant="default"))
        assert await run.result() == "paid 3"
        fork = await app.fork("r", from_step="pay", input=300)
        with pytest.raises(RunFailed, match="agent `pays` was not run: nobody vouched for `user:ann`"):
            await fork.result()
    assert bank.paid == [3]


async def test_a_schedule_has_the_grants_that_its_application_gives_it(bank: Bank) -> None:
    app = bank.app

    @app.agent("pays", requires=PAY)
    async def pays(run: Run) -> Any:
        return await run.call(bank.pay, 3)

    with pytest.raises(ConfigError, match=rf"schedule `pays`: agent `pays` requires `{PAY}`"):
        app.schedule(pays, cron="0 3 1 1 *")
    app.schedule(pays, cron="0 3 1 1 *", name="nightly", grants=[PAY, READ])
    app.schedule(bank.clerk, cron="0 3 1 1 *", name="bare", input=7)
    async with app:
        while len(await app.schedules.ls()) < 2:  # the worker declares them
            await app.store.changed(app.store.changes(), within=0.1)
        run = await app.schedules.trigger("nightly")
        assert await run.result() == "paid 3"
        bare = await app.schedules.trigger("bare")
        assert "nobody vouched for `schedule:bare`" in await bare.result()
        started = json.loads((await run.entries())[0].payload)
    assert started["on_behalf_of"] == {"subject": "schedule:nightly", "issuer": "app", "grants": [READ, PAY]}
