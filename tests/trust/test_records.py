"""Rings as a store holds them: anybody narrows, a signature widens, and nothing else makes a ring wider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pydantic_core
import pytest

pytest.importorskip("joserfc", reason='no keys: `pip install "perdure[identity]"`')

from perdure import App, ConfigError, Ring, TrustRefused, sign_change
from perdure.governance.trust import TrustChange, TrustRecord
from perdure.governance.trust.records import head_key, record_key
from perdure.identity.approver_file import SigningKey
from perdure.journal import Amendment, Cell, CellKey

ANN = SigningKey.new("user:ann")
EVE = SigningKey.new("user:eve", "es256")


def made(url: str = "memory://", *, ring: Any = "observe", **trust: Any) -> App:
    keys = {key.user: key.public.key for key in (ANN, EVE)}
    app = App(url, trust=trust, approvals={"keys": keys, "groups": {"leads": ["ann"]}})

    @app.agent("desk", ring=ring)
    async def desk(run: Any) -> None: ...

    return app


async def propose(app: App, ring: str = "draft", action: str = "pay") -> TrustChange:
    return await app.trust.propose("desk", action, ring, by="user:bob", reason="it did well")


async def write(app: App, *cells: tuple[CellKey, Cell | None]) -> None:
    """What somebody with the database in their hands could do."""
    await app.store.amend(Amendment([key for key, _ in cells], lambda _cells, _now: (dict(cells), None)))


async def appended(app: App, record: TrustRecord) -> None:
    """A record behind the others, as whoever can write the store would put it there."""
    record = replace(record, hash=record.hashed())
    await write(
        app,
        (record_key("default", "desk", record.action, record.seq), Cell(record.data())),
        (
            head_key("default", "desk", record.action),
            Cell(pydantic_core.to_json({"seq": record.seq, "hash": record.hash})),
        ),
    )


async def test_a_signature_widens_a_ring_and_a_narrowing_needs_none(store_url: str) -> None:
    app = made(store_url)
    await app.open()
    change = await propose(app)
    widened = await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))
    assert (widened.before, widened.ring, widened.by) == (Ring.OBSERVE, Ring.DRAFT, "user:ann")
    assert await app.trust.proposed() == []

    other = made(store_url)  # as another process sees it
    await other.open()
    assert (await other.trust.ring("desk", "pay")).ring is Ring.DRAFT
    narrowed = await other.trust.narrow("desk", "pay", reason="an alarm", by="watcher:rate")
    assert narrowed is not None and (narrowed.seq, narrowed.prev) == (2, widened.hash)
    assert (await app.trust.ring("desk", "pay")).ring is Ring.OBSERVE
    assert await other.trust.narrow("desk", "pay", reason="again", by="watcher:rate") is None
    await app.store.close()
    await other.store.close()


async def test_who_signs_widens_what_was_proposed_and_nothing_else() -> None:
    app = made(signers=["leads"])
    await app.open()
    with pytest.raises(TrustRefused, match="no wider ring is proposed"):
        await app.trust.sign("desk", "pay", by="user:ann", proof="x")
    change = await propose(app)
    wider = replace(change, ring=Ring.ACT_AND_VERIFY)
    for by, proof, why in (
        ("user:ann", sign_change(wider, ANN), "its `digest` is"),
        ("user:ann", sign_change(change, EVE, by="user:ann"), "by a key of `user:eve`"),
        ("user:eve", sign_change(change, EVE), "`user:eve` is not among those whose signature widens"),
        ("agent:desk", sign_change(change, ANN, by="agent:desk"), "is an agent, and agents widen no ring"),
        ("user:ann", "no.signature.", "the signature"),
        ("user:ann", "", "takes the signature of a key"),
        ("user:ann", sign_change(change, ANN, now=0), "it was signed"),
    ):
        with pytest.raises(TrustRefused, match=why):
            await app.trust.sign("desk", "pay", by=by, proof=proof)
    assert (await app.trust.ring("desk", "pay")).ring is Ring.OBSERVE
    await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))
    with pytest.raises(TrustRefused, match="no wider ring is proposed"):  # once
        await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))


async def test_a_proposal_is_void_once_the_ring_has_changed() -> None:
    app = made(ring="draft")
    await app.open()
    change = await propose(app, "act_after_approval")
    await app.trust.narrow("desk", "pay", reason="a mistake", by="user:bob")
    with pytest.raises(TrustRefused, match="was changed since the proposal"):
        await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))


async def test_a_forged_widening_is_refused_and_the_ring_is_the_narrowest_that_is_known() -> None:
    app = made(ring="draft", needed={})
    await app.open()
    change = await propose(app, "act_after_approval")
    good = await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))
    for proof in (None, "forged", good.proof):  # without a signature, with none that is one, with an old one
        forged = replace(good, seq=2, prev=good.hash, before=good.ring, ring=Ring.ACT_AND_VERIFY, proof=proof)
        await appended(app, forged)
        standing = await made_again(app).trust.ring("desk", "pay")
        assert standing.ring is Ring.DRAFT
        assert "record 2: " in standing.problem
    # A record that calls itself a narrowing is none.
    await appended(app, replace(forged, before=Ring.NONE, ring=Ring.ACT_AND_VERIFY, proof=None))
    assert (await made_again(app).trust.ring("desk", "pay")).ring is Ring.ACT_AFTER_APPROVAL
    # Whoever has seen that can sign anew.
    change = await propose(app, "act_and_verify")
    await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))
    assert (await app.trust.ring("desk", "pay")).ring is Ring.ACT_AND_VERIFY


def made_again(app: App) -> App:
    """The same app, in a process that has looked at nothing yet."""
    again = made(ring="draft")
    again.store = app.store
    return again


async def test_a_record_that_is_missing_or_was_changed_closes_the_ring() -> None:
    app = made(ring="act_and_verify")
    await app.open()
    first = await app.trust.narrow("desk", "pay", reason="one", by="bob")
    second = await app.trust.narrow("desk", "pay", reason="two", by="bob")
    assert first is not None and second is not None
    key = record_key("default", "desk", "pay", 2)
    for cell in (None, Cell(replace(second, reason="three").data()), Cell(b"{}"), Cell(second.data())):
        await write(app, (key, cell))
        standing = await made_again(app).trust.ring("desk", "pay")
        assert standing.ring is Ring.OBSERVE or cell == Cell(second.data())
        assert bool(standing.problem) is (cell != Cell(second.data()))
    assert standing.ring is Ring.DRAFT


async def test_a_revoked_key_signs_no_more_and_what_it_had_signed_stays() -> None:
    app = made()
    await app.open()
    change = await propose(app)
    await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))
    from perdure.governance.signatures import revocation

    await app.store.amend(revocation("default", ANN.public.kid, by="bob"))
    assert (await made_again(app).trust.ring("desk", "pay")).ring is Ring.DRAFT
    change = await propose(app, "act_after_approval")
    with pytest.raises(TrustRefused, match="was revoked"):
        await app.trust.sign("desk", "pay", by="user:ann", proof=sign_change(change, ANN))


async def test_all_actions_of_an_agent_are_narrowed_at_once() -> None:
    app = made(ring={"pay": "act_and_verify", "mail": "draft"})
    await app.open()
    record = await app.trust.narrow("desk", reason="an alarm", by="watcher:rate")
    assert record is not None and record.ring is Ring.ACT_AFTER_APPROVAL
    rings = {s.action: (s.ring, s.capped) for s in await app.trust.ls()}
    assert rings["pay"] == (Ring.ACT_AFTER_APPROVAL, record)
    assert rings["mail"] == (Ring.DRAFT, None)
    assert (await app.trust.ring("desk", "other")).ring is Ring.ACT_AFTER_APPROVAL
    with pytest.raises(TrustRefused, match="propose a wider ring for `\\*` first"):
        await propose(app, "act_and_verify")


async def test_what_narrows_by_itself_does_so_once_for_each_cause() -> None:
    app = made(ring="act_and_verify")
    await app.open()
    for cause in ("r1/pay", "r1/pay", "r2/pay", "r1/pay"):
        await app.trust.narrow("desk", "pay", reason="a check", by="agent:desk", cause=cause)
    assert [j.record.cause for j in (await app.trust.ring("desk", "pay")).records] == ["r1/pay", "r2/pay"]
    assert (await app.trust.ring("desk", "pay")).ring is Ring.DRAFT


async def test_another_tenant_and_a_name_that_begins_alike_have_rings_of_their_own() -> None:
    app = made(ring="draft")
    await app.open()
    await app.trust.narrow("desk", "pay", reason="x", by="bob")
    await app.trust.narrow("desk", "a/b", reason="x", by="bob")
    for agent, action, tenant in (("desk", "pay", "other"), ("desk", "pay-all", None), ("desk/a", "b", None)):
        assert not (await app.trust.ring(agent, action, tenant=tenant)).records
    assert (await app.trust.ring("desk", "a/b")).ring is Ring.OBSERVE


async def test_without_rings_nobody_narrows() -> None:
    app = App("memory://")
    with pytest.raises(ConfigError, match="nobody looks at trust rings here"):
        await app.trust.narrow("desk", reason="x", by="bob")
    with pytest.raises(ConfigError, match="`far` is no ring"):
        made(ring="far")
    with pytest.raises(ConfigError, match="is no rate"):
        App("memory://", trust={"needed": {"draft": 1.0}})
