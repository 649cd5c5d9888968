"""Policies that change while a worker lives: chained, signed where that is wanted, and never for the worse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic_core
import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
pytest.importorskip("joserfc", reason='no keys: `pip install "perdure[identity]"`')

from perdure import App, ConfigError, Kind, Run, RunFailed
from perdure.core.errors import BadSignature, RunConflict, StoreCorrupt
from perdure.governance.changes import Draft
from perdure.governance.policy import Decision, PolicyCall, ToolForm, Verdict
from perdure.governance.policy.shadow import MOST, Shadow
from perdure.governance.policy.versions import KIND
from perdure.governance.signatures import revocation
from perdure.identity.approver_file import SigningKey
from perdure.journal import Amendment, Cell, CellKey

ALL = '@id("all") permit (principal, action, resource);\n'
NEVER = (
    ALL
    + '@id("never") @reason("nobody is paid any more") forbid (principal, action == Action::"pay", resource);'
)
EVE, BOB = SigningKey.new("user:eve"), SigningKey.new("user:bob", "es256")
KEYS = {"user:eve": [EVE.public.key], "user:bob": [BOB.public.key]}


class Ticks:
    """A clock by which a second is over whenever it is asked."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        self.at += 2
        return self.at


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).mkdir()
    (folder / name / "base.cedar").write_text(text)
    return folder / name


def desk(url: str, folder: Path | None, **table: Any) -> App:
    app = App(url, policies={"folder": folder, **table}, approvals={"keys": KEYS})
    versions = app.policies.versions

    def looking_each_time() -> Any:
        made = versions()
        made._monotonic = Ticks()  # pyright: ignore[reportPrivateUsage]
        return made

    app.policies.versions = looking_each_time  # type: ignore[method-assign]

    @app.tool(effect="write")
    def pay(cents: int) -> str:
        return f"paid {cents}"

    @app.agent("desk")
    async def desk_(run: Run, wait: bool) -> str:
        await run.call(pay, 1)
        if wait:
            await run.receive("go", str)
        return await run.call(pay, 2)

    return app


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path, "policies", ALL), written(tmp_path, "stricter", NEVER)


async def test_a_change_holds_for_runs_that_begin_and_not_for_those_under_way(
    store_url: str, both: tuple[Path, Path]
) -> None:
    folder, stricter = both
    async with desk(store_url, folder) as app:
        before = await app.start("desk", True)
        assert await (await app.start("desk", False)).result() == "paid 2"

        change = await app.policies.apply(stricter, by="eve", reason="the bank has called")
        held = await app.policies.holding()
        assert held is not None and held.digest == change.draft.what["after"]

        with pytest.raises(RunFailed, match="nobody is paid any more"):
            await (await app.start("desk", False)).result()
        await app.signal(before.id, "go", "now")
        assert await before.result() == "paid 2"
        assert [c.draft.what["after"] for c in await app.policies.history()] == [change.draft.what["after"]]
    async with desk(
        store_url, folder
    ) as later:  # and for workers that come later, whatever is in their folder
        with pytest.raises(RunFailed, match="nobody is paid any more"):
            await (await later.start("desk", False)).result()
        back = await later.policies.apply(folder, by="eve", reason="a mistake")
        assert (back.draft.seq, back.draft.previous) == (2, change.hash)
        assert await (await later.start("desk", False)).result() == "paid 2"


async def test_what_does_not_load_changes_nothing(
    store_url: str, both: tuple[Path, Path], tmp_path: Path
) -> None:
    broken = written(
        tmp_path, "broken", ALL + '@id("x") permit (principal, action == Action::"pax", resource);'
    )
    async with desk(store_url, both[0]) as app:
        with pytest.raises(ConfigError, match="unrecognized action"):
            await app.policies.apply(broken, by="eve", reason="x")
        with pytest.raises(ConfigError, match="say why"):
            await app.policies.apply(both[1], by="eve", reason=" ")
        with pytest.raises(ConfigError, match="nothing changes"):
            await app.policies.apply(both[0], by="eve", reason="the same")
        assert await app.policies.history() == []
        assert await (await app.start("desk", False)).result() == "paid 2"


REQUIRED: dict[str, Any] = {"editors": ["eve"]}


async def test_an_editors_signature_changes_policies_and_nobody_elses(
    store_url: str, both: tuple[Path, Path]
) -> None:
    folder, stricter = both
    async with desk(store_url, folder, **REQUIRED) as app:
        with pytest.raises(BadSignature, match="not signed"):
            await app.policies.apply(stricter, by="eve", reason="x")
        with pytest.raises(BadSignature, match="changes no policies here"):
            await app.policies.apply(stricter, by="bob", reason="x", signer=BOB)
        with pytest.raises(BadSignature, match="a key of `user:bob`"):
            await app.policies.apply(stricter, by="eve", reason="x", signer=BOB)
        with pytest.raises(BadSignature, match="no approver has the key"):
            await app.policies.apply(stricter, by="eve", reason="x", signer=SigningKey.new("user:eve"))
        assert await (await app.start("desk", False)).result() == "paid 2"
        await app.policies.apply(stricter, by="eve", reason="x", signer=EVE)
        with pytest.raises(RunFailed, match="nobody is paid any more"):
            await (await app.start("desk", False)).result()


async def forced(app: App, change: Mapping[str, Any]) -> None:
    """As whoever can write to the database does it."""
    key = CellKey(app.tenant, KIND, f"{change['seq']:010}")
    await app.store.amend(Amendment([key], lambda *_: ({key: Cell(pydantic_core.to_json(change))}, None)))


async def test_a_change_that_is_forced_into_the_store_is_not_taken_up(
    store_url: str, both: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder, stricter = both
    async with desk(store_url, stricter, **REQUIRED) as app:
        laxer = app.policies.read(folder)
        held = app.policies.book()
        assert laxer is not None and held is not None
        from perdure.governance.policy.kept import keep

        await keep(app.store, app.tenant, laxer.digest, laxer.kept())
        what = {"of": "policies", "before": held.digest, "after": laxer.digest}
        draft = Draft(kind=KIND, tenant=app.tenant, seq=1, previous="", by="eve", reason="x", what=what)
        now = app.store.now()
        told: dict[str, Any] = {**json.loads(draft.text(iat=0, kid="")), "at": now}
        del told["iat"], told["kid"]

        other = Draft(kind=KIND, tenant=app.tenant, seq=1, previous="", by="eve", reason="y", what=what)
        for proof in (None, "x.y.z", BOB.sign_change(draft.text(iat=now // 1_000_000, kid=BOB.kid)),
                      other.signed(EVE, iat=now // 1_000_000), draft.signed(EVE, iat=now // 1_000_000 - 4000),
                      EVE.sign(draft.text(iat=now // 1_000_000, kid=EVE.kid))):  # fmt: skip
            await forced(app, {**told, "proof": proof})
            with pytest.raises(RunFailed, match="nobody is paid any more"):
                await (await app.start("desk", False)).result()
            assert "is not taken up, what held goes on" in caplog.text
            caplog.clear()
            await app.close()
            await app.__aenter__()

        await forced(app, {**told, "proof": draft.signed(EVE, iat=now // 1_000_000)})
        assert await (await app.start("desk", False)).result() == "paid 2", "hers is"


async def test_a_revoked_key_changes_nothing_more_and_what_it_changed_before_holds(
    both: tuple[Path, Path],
) -> None:
    folder, stricter = both
    async with desk("memory://", folder, **REQUIRED) as app:
        await app.policies.apply(stricter, by="eve", reason="x", signer=EVE)
        await app.store.amend(revocation(app.tenant, EVE.kid, by="ops", why="lost"))
        with pytest.raises(BadSignature, match="was revoked"):
            await app.policies.apply(folder, by="eve", reason="y", signer=EVE)
        (change,) = await app.policies.history()
        assert await app.policies.versions().look_at(change) == "user:eve"
        with pytest.raises(RunFailed, match="nobody is paid any more"):
            await (await app.start("desk", False)).result()


async def test_a_history_that_was_altered_is_told_and_what_held_goes_on(
    store_url: str, both: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder, stricter = both
    async with desk(store_url, folder) as app:
        await app.policies.apply(stricter, by="eve", reason="x")
        await app.policies.apply(folder, by="eve", reason="y")
        await app.policies.apply(stricter, by="eve", reason="z")
        first = (await app.policies.history())[0]
        await forced(app, {**first.to_json(), "reason": "another"})
        with pytest.raises(StoreCorrupt, match="does not follow the one before"):
            await app.policies.history()
    async with desk(store_url, folder) as app:
        assert await (await app.start("desk", False)).result() == "paid 2"
    assert "does not follow the one before" in caplog.text


async def test_of_two_who_change_at_once_one_is_told(both: tuple[Path, Path]) -> None:
    async with desk("memory://", both[0]) as app:
        log = app.policies.versions().changes
        what = {"of": "policies", "before": "a", "after": "b"}
        mine = await log.draft(app.tenant, by="eve", reason="x", what=what)
        theirs = await log.draft(app.tenant, by="bob", reason="x", what=what)
        await log.append(mine)
        with pytest.raises(RunConflict, match="meanwhile"):
            await log.append(theirs)


async def test_of_each_tenant_its_own(both: tuple[Path, Path]) -> None:
    async with desk("memory://", both[0]) as app:
        await app.policies.apply(both[1], by="eve", reason="x", tenant="acme")
        assert await (await app.start("desk", False)).result() == "paid 2"
        with pytest.raises(RunFailed, match="nobody is paid any more"):
            await (await app.start("desk", False, tenant="acme")).result()


CANDIDATE = (
    ALL + '@id("small") @reason("too much") forbid (principal, action == Action::"pay", resource) '
    "when { context.args.cents > 1 };"
)
OVERFLOWS = (
    ALL + '@id("sum") forbid (principal, action == Action::"pay", resource) '
    "when { context.args.cents + 9223372036854775807 > 0 };"
)


async def shadows(run: Any) -> list[Any]:
    told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [
        (t["verdict"], t.get("shadow", {}).get("decision"), t.get("shadow", {}).get("policies")) for t in told
    ]


async def test_a_candidate_runs_beside_and_decides_nothing(
    store_url: str, both: tuple[Path, Path], tmp_path: Path
) -> None:
    candidate = written(tmp_path, "candidate", CANDIDATE)
    async with desk(store_url, both[0], shadow=candidate) as app:
        run = await app.start("desk", False)
        assert await run.result() == "paid 2"
        assert await shadows(run) == [("allow", None, None), ("allow", "deny", ["small"])]
        await app.policies.run_beside(None, by="eve", reason="seen enough")
        run = await app.start("desk", False)
        assert await run.result() == "paid 2"
        assert {shadow for _, shadow, _ in await shadows(run)} <= {None}


async def test_a_candidate_that_cannot_be_asked_is_a_difference_and_stops_nothing(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    async with desk("memory://", both[0]) as app:
        await app.policies.run_beside(written(tmp_path, "candidate", OVERFLOWS), by="eve", reason="try")
        run = await app.start("desk", False)
        assert await run.result() == "paid 2"
        assert [(v, s) for v, s, _ in await shadows(run)] == [("allow", "deny"), ("allow", "deny")]


def test_a_candidate_that_raises_is_a_difference_and_is_asked_so_often_and_no_more() -> None:
    class Broken:
        digest = "abc"

        def for_call(self, agent: str, tool: ToolForm) -> Any:
            raise RuntimeError("out of order")

    shadow = Shadow(Broken())  # type: ignore[arg-type]
    call, tool = PolicyCall(agent="desk", tool="pay", arguments={}, tenant="t"), ToolForm("pay", "write")
    allowed = Verdict(decision=Decision.ALLOW, policies=())
    found = shadow.beside(call, tool, allowed)
    assert found is not None and found["decision"] == "deny" and "out of order" in found["why"]
    for _ in range(MOST - 1):
        assert shadow.beside(call, tool, allowed) is not None
    assert shadow.beside(call, tool, allowed) is None


async def test_a_candidate_is_asked_about_reads_that_are_always_allowed(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    no_reads = '@id("writes") permit (principal, action in Action::"write", resource);'
    async with desk("memory://", both[0], shadow=written(tmp_path, "candidate", no_reads)) as app:

        @app.tool(effect="read")
        def look() -> str:
            return "seen"

        @app.agent("looks")
        async def looks(run: Run) -> str:
            return await run.call(look)

        run = await app.start("looks")
        assert await run.result() == "seen"
        assert await shadows(run) == [("allow", "deny", [])]
