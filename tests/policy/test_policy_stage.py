"""Policies at the boundary: what an agent may do is decided by them, and not by its prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import AnswerRefused, App, ConfigError, EffectKey, Kind, Run, RunFailed
from perdure.journal import Amendment, Approval
from perdure.testing import until_waiting

ALL = '@id("all") permit (principal, action, resource);\n'
LIMIT = """
@id("limit") @gate("human") @role("finance") @reason("payments above 50 are approved")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 5000 }
unless { context.approvals.contains("finance") };
"""
NEVER = '@id("never") @reason("nobody is paid here") forbid (principal, action == Action::"pay", resource);'


class Bank:
    def __init__(self) -> None:
        self.paid: list[tuple[str, int]] = []
        self.keys: list[str] = []


@pytest.fixture
def bank() -> Bank:
    return Bank()


def made(url: str, folder: Path | None, bank: Bank, **options: Any) -> App:
    app = App(url, policies=folder, **options)

    @app.tool(effect="write")
    def pay(payee: str, cents: int, key: EffectKey = EffectKey("")) -> str:
        bank.paid.append((payee, cents))
        bank.keys.append(key)
        return f"paid {cents} to {payee}"

    @app.tool(effect="read")
    def look(q: str) -> str:
        return q.upper()

    @app.agent("desk")
    async def desk(run: Run, cents: int) -> str:
        await run.call(look, "x")
        return await run.call(pay, "Ada", cents)

    return app


def policies(folder: Path, text: str, name: str = "base.cedar") -> Path:
    (folder / "policies" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "policies" / name).write_text(text)
    return folder / "policies"


async def verdicts(app: App, run: Any, stage: str = "policy") -> list[dict[str, Any]]:
    told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [t for t in told if t["stage"] == stage]


async def test_what_is_permitted_is_done_and_the_verdict_stands_with_it(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    async with made(store_url, policies(tmp_path, ALL + LIMIT), bank) as app:
        run = await app.start("desk", 100)
        assert await run.result() == "paid 100 to Ada"
        (verdict,) = await verdicts(app, run)
    assert (verdict["verdict"], verdict["policies"], verdict["tool"]) == ("allow", ["all"], "pay")


async def test_what_is_forbidden_is_not_done_and_says_why(store_url: str, tmp_path: Path, bank: Bank) -> None:
    async with made(store_url, policies(tmp_path, ALL + NEVER), bank) as app:
        run = await app.start("desk", 100)
        with pytest.raises(RunFailed, match="PolicyDenied: `pay` was not called: nobody is paid here"):
            await run.result()
        (verdict,) = await verdicts(app, run)
        assert [Kind(e.kind).name for e in await run.entries() if e.key == "pay"] == ["VERDICT", "FAILED"]
    assert (verdict["verdict"], verdict["policies"]) == ("deny", ["never"])
    assert bank.paid == []


async def test_a_gate_asks_the_role_and_the_call_is_made_as_it_was_approved(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    approvals = {"groups": {"finance": ["eve"]}}
    async with made(store_url, policies(tmp_path, ALL + LIMIT), bank, approvals=approvals) as app:
        run = await app.start("desk", 9000, by="user:ann")
        await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals()
        assert asked.told["about"]["policy"]["why"] == "payments above 50 are approved"
        with pytest.raises(AnswerRefused, match="not among those who are asked"):
            await app.answer(run.id, "pay", approved=True, by="bob", digest=asked.digest)
        assert bank.paid == []
        await app.answer(run.id, "pay", approved=True, by="eve", digest=asked.digest)
        assert await run.result() == "paid 9000 to Ada"
        assert [v["verdict"] for v in await verdicts(app, run)] == ["needs_approval"]
        assert [v["gate"] for v in await verdicts(app, run, "approval")] == ["finance"]
    assert bank.paid == [("Ada", 9000)]


async def test_s8_an_empty_folder_does_not_start(store_url: str, tmp_path: Path, bank: Bank) -> None:
    (tmp_path / "policies").mkdir()
    with pytest.raises(ConfigError, match="permits anything"):
        async with made(store_url, tmp_path / "policies", bank):
            pass
    with pytest.raises(ConfigError, match="there is no folder"):
        async with made(store_url, tmp_path / "elsewhere", bank):
            pass


FOUR_EYES = LIMIT.replace('@role("finance")', '@role("finance") @quorum("2")')
LEGAL = """
@id("legal") @gate("human") @role("legal") @reason("large payments are looked at by lawyers")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 8000 }
unless { context.approvals.contains("legal") };
"""
GROUPS = {"groups": {"finance": ["eve", "fay"], "legal": ["liz"]}, "most_per_hour": 0}


async def answer(app: App, run: Any, by: str, **more: Any) -> None:
    (asked,) = await app.open_approvals()
    await app.answer(run.id, "pay", **{"approved": True, "digest": asked.digest, "by": by, **more})


async def test_two_people_have_to_approve_where_the_policy_says_so(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    async with made(store_url, policies(tmp_path, ALL + FOUR_EYES), bank, approvals=GROUPS) as app:
        run = await app.start("desk", 9000)
        await until_waiting(app, run, "approval")
        await answer(app, run, "eve")
        await until_verdicts(app, run, "supported")
        await answer(app, run, "eve", reason="once more")  # does not count
        await until_verdicts(app, run, "supported", "refused")
        assert bank.paid == []
        await answer(app, run, "fay")
        assert await run.result() == "paid 9000 to Ada"
        told = await verdicts(app, run, "approval")
    assert [(v["verdict"], v["by"]) for v in told] == [
        ("supported", "eve"),
        ("refused", "eve"),
        ("approved", "fay"),
    ]
    assert bank.paid == [("Ada", 9000)]


async def test_two_roles_are_asked_one_after_the_other_and_edits_of_the_first_hold(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    async with made(store_url, policies(tmp_path, ALL + LIMIT + LEGAL), bank, approvals=GROUPS) as app:
        run = await app.start("desk", 9000)
        await until_waiting(app, run, "approval")
        (first,) = await app.open_approvals()
        await answer(app, run, "eve", arguments={"payee": "Ada", "cents": 8500})
        second = await until_open(app, but=first.told["nonce"])
        assert (first.told["about"]["policy"]["role"], second.told["about"]["policy"]["role"]) == (
            "finance",
            "legal",
        )
        assert second.arguments == {"payee": "Ada", "cents": 8500}
        await answer(app, run, "liz")
        assert await run.result() == "paid 8500 to Ada"
    assert bank.paid == [("Ada", 8500)]


async def test_s23_edited_arguments_are_judged_once_more(store_url: str, tmp_path: Path, bank: Bank) -> None:
    """A human may change the amount, and not get around what forbids it for good."""
    most = """@id("most") @reason("never above 100") forbid (principal, action == Action::"pay", resource)
    when { context.args.cents > 10000 };"""
    async with made(store_url, policies(tmp_path, ALL + LIMIT + most), bank, approvals=GROUPS) as app:
        run = await app.start("desk", 9000)
        await until_waiting(app, run, "approval")
        await answer(app, run, "eve", arguments={"payee": "Ada", "cents": 20000})
        with pytest.raises(RunFailed, match="never above 100"):
            await run.result()
        assert await app.open_approvals() == []
    assert bank.paid == []


async def test_a_run_is_judged_by_the_version_with_which_it_began(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    before = policies(tmp_path / "a", ALL + LIMIT)
    async with made(store_url, before, bank, approvals=GROUPS) as app:
        run = await app.start("desk", 9000, run_id="old")
        await until_waiting(app, run, "approval")
    after = policies(tmp_path / "b", ALL + NEVER)
    async with made(store_url, after, bank, approvals=GROUPS) as app:
        await answer(app, await app.handle("old"), "eve")
        assert await (await app.handle("old")).result() == "paid 9000 to Ada"
        with pytest.raises(RunFailed, match="nobody is paid here"):
            await (await app.start("desk", 100)).result()
    async with made(store_url, None, bank, approvals=GROUPS) as app:  # the policies are gone from the deploy
        assert await (await app.start("desk", 50)).result() == "paid 50 to Ada"
    assert bank.paid == [("Ada", 9000), ("Ada", 50)]


async def test_a_version_that_is_not_to_be_had_permits_nothing(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    async with made(store_url, policies(tmp_path / "a", ALL + LIMIT), bank, approvals=GROUPS) as app:
        run = await app.start("desk", 9000, run_id="old")
        await until_waiting(app, run, "approval")
        ((key, _),) = await app.store.cells("policies")
        await app.store.amend(Amendment([key], lambda _cells, _now: ({key: None}, None)))
    async with made(store_url, policies(tmp_path / "b", ALL), bank, approvals=GROUPS) as app:
        await answer(app, await app.handle("old"), "eve")
        with pytest.raises(RunFailed, match="are not in the store"):
            await (await app.handle("old")).result()
    assert bank.paid == []


async def until_verdicts(app: App, run: Any, *wanted: str) -> None:
    while [v["verdict"] for v in await verdicts(app, run, "approval")] != list(wanted):
        await app.store.changed(app.store.changes(), within=0.2)


async def until_open(app: App, *, but: str) -> Approval:
    while True:
        for approval in await app.open_approvals():
            if approval.told["nonce"] != but:
                return approval
        await app.store.changed(app.store.changes(), within=0.2)


async def test_two_roles_are_asked_for_the_same_call(store_url: str, tmp_path: Path, bank: Bank) -> None:
    async with made(store_url, policies(tmp_path, ALL + LIMIT + LEGAL), bank, approvals=GROUPS) as app:
        run = await app.start("desk", 9000)
        await until_waiting(app, run, "approval")
        (first,) = await app.open_approvals()
        await answer(app, run, "eve")
        second = await until_open(app, but=first.told["nonce"])
        assert (first.digest, first.arguments) == (second.digest, second.arguments)
        with pytest.raises(AnswerRefused, match="not among those who are asked"):
            await answer(app, run, "eve")
        assert bank.paid == []
        await answer(app, run, "liz")
        assert await run.result() == "paid 9000 to Ada"
    assert bank.paid == [("Ada", 9000)]
