"""What must be refused (S12 to S16, S22 to S26, S30), against the whole server with its own gate."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from perdure import App, sign_answer
from perdure.access.gates import LINK, AppGate
from perdure.core.clock import SystemClock
from perdure.core.principal import Principal
from perdure.core.roles import Role
from perdure.identity.approver_file import SigningKey
from perdure.identity.proofs import ProofKey
from perdure.journal import Approval
from perdure.server import asgi
from tests.api.desk import desk
from tests.api.transport import StreamingTransport
from tests.identity.provider import Provider, new_key

HERE = "http://127.0.0.1:8321"
BOSS, EVE = SigningKey.new("user:boss"), SigningKey.new("user:eve")


class Server:
    """The server, and those who ask it."""

    def __init__(self, app: App, gate: AppGate, application: Any) -> None:
        self.app, self.gate, self.application = app, gate, application

    def client(self, **headers: str) -> httpx2.AsyncClient:
        transport = StreamingTransport(self.application)
        return httpx2.AsyncClient(transport=transport, base_url=f"{HERE}/api/v1", headers=headers)

    async def signed_in(
        self, name: str, *roles: Role, tenant: str = "default", **more: str
    ) -> httpx2.AsyncClient:
        """At a browser, on a page of this server."""
        who = Principal(subject=f"user:{name}", issuer="os")
        cookie = await self.gate.sessions.begin(who, tenant=tenant, roles=frozenset(roles), how=LINK)
        return self.client(cookie=f"perdure_session_8321={cookie}", **(more or {"origin": HERE}))

    async def key(self, *roles: Role) -> httpx2.AsyncClient:
        made = await self.gate.keys.create(
            "ci", tenant="default", roles=roles, by="user:ann", lasts=timedelta(days=1)
        )
        return self.client(authorization=f"Bearer {made.text}")

    async def asks(self, by: httpx2.AsyncClient, id: str = "r", amount: int = 5) -> Approval:
        """A run that somebody has started, and what it asks."""
        sent = {"agent": "refunds", "input": amount, "run_id": id}
        answer = await by.post("/runs", json=sent)
        assert answer.status_code < 300, answer.text
        while not (found := await self.app.open_approvals(id)):
            await self.app.store.changed(self.app.store.changes(), within=0.1)
        return found[0]


async def serving(app: App) -> AsyncIterator[Server]:
    gate = AppGate(app)
    application = asgi(app, gate=gate, worker=True, pages=False)
    async with application.life:
        yield Server(app, gate, application)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
async def server(provider: Provider) -> AsyncIterator[Server]:
    issuer = {"url": provider.url, "audience": "perdure", "grants": ["groups"]}
    app = desk(
        approvals={"most_per_hour": 2},
        identity={"issuers": {"corp": issuer}},
        access={"roles": {"corp": {"viewer": "*"}}, "sign_ins": "1000/min"},
    )
    async for made in serving(app):
        yield made


@pytest.fixture
async def signing() -> AsyncIterator[Server]:
    async for made in serving(desk(approvals={"keys": {k.user: [k.public.key] for k in (BOSS, EVE)}})):
        yield made


def answer(asked: Approval, **changed: Any) -> dict[str, Any]:
    return {"step": asked.step, "approved": True, "digest": asked.digest, **changed}


async def test_s12_to_s15_a_token_that_is_not_good_here(server: Server, provider: Provider) -> None:
    now = int(time.time())
    refused = {
        "S12": provider.token(aud="bank"),
        "S13": provider.token(key=new_key("ES256", kid="k1")),
        "S14": provider.token(iat=now - 700, exp=now - 1),
        "S15": provider.token(cnf={"jkt": "of a key that nobody shows"}),
    }
    for row, token in refused.items():
        async with server.client(authorization=f"Bearer {token}") as client:
            told = await client.get("/runs")
        assert told.status_code == 401, row
        assert told.headers["content-type"] == "application/problem+json"
        assert told.headers["www-authenticate"].startswith("Bearer")
        assert token not in told.text
    async with server.client(authorization=f"Bearer {provider.token()}") as client:
        assert (await client.get("/runs")).status_code == 200
        assert (await client.post("/runs", json={"agent": "order"})).status_code == 403
    async with server.client() as client:
        assert (await client.get("/runs")).status_code == 401


async def test_s15_a_token_is_shown_with_a_proof_for_this_address(server: Server, provider: Provider) -> None:
    mine, thief = ProofKey(SystemClock()), ProofKey(SystemClock())
    token = provider.token(cnf={"jkt": mine.thumbprint})

    async def shown(key: ProofKey, url: str) -> int:
        proof = key.prove(token, method="GET", url=url)
        async with server.client(authorization=f"DPoP {token}", dpop=proof) as client:
            return (await client.get("/runs?limit=1")).status_code

    assert await shown(mine, f"{HERE}/api/v1/runs") == 200
    assert await shown(thief, f"{HERE}/api/v1/runs") == 401
    assert await shown(mine, f"{HERE}/runs") == 401


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    async for made in serving(desk(access={"rate": "3/h"})):
        ann = await made.signed_in("ann", Role.VIEWER)
        told = [await ann.get("/runs") for _ in range(4)]
        assert [one.status_code for one in told] == [200, 200, 200, 429]
        assert 1190 <= int(told[3].headers["retry-after"]) <= 1200
        assert (await (await made.signed_in("bob", Role.VIEWER)).get("/runs")).status_code == 200


async def test_of_an_answer_a_browser_makes_nothing(server: Server) -> None:
    ann = await server.signed_in("ann", Role.VIEWER)
    for told in (await ann.get("/runs"), await ann.get("/nowhere"), await server.client().get("/runs")):
        assert told.headers["content-security-policy"].startswith(
            "default-src 'none'; frame-ancestors 'none'"
        )
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in told.headers  # by http: it would not be believed
        assert "set-cookie" not in told.headers


async def test_s25_neither_who_has_asked_nor_a_program_approves(server: Server) -> None:
    ann = await server.signed_in("ann", Role.OPERATOR, Role.APPROVER)
    asked = await server.asks(ann)
    own = await ann.post("/approvals/r/answer", json=answer(asked))
    assert (own.status_code, "nobody approves what they have asked for" in own.text) == (409, True)
    for role, status in ((Role.OPERATOR, 403), (Role.ADMIN, 409)):
        told = await (await server.key(role)).post("/approvals/r/answer", json=answer(asked))
        assert told.status_code == status
    assert "agents approve nothing" in told.text
    viewer = await server.signed_in("bob", Role.VIEWER)
    assert (await viewer.post("/approvals/r/answer", json=answer(asked))).status_code == 403
    other = await server.signed_in("bob", Role.APPROVER, tenant="acme")  # S32
    assert (await other.post("/approvals/r/answer", json=answer(asked))).status_code == 404
    assert await server.app.open_approvals("r")


async def test_s23_s24_an_answer_is_for_what_was_shown_and_once(server: Server) -> None:
    ann, boss = await server.signed_in("ann", Role.OPERATOR), await server.signed_in("boss", Role.APPROVER)
    asked = await server.asks(ann)
    for changed in ({"digest": None}, {"digest": "0" * 64}):
        told = await boss.post("/approvals/r/answer", json=answer(asked, **changed))
        assert told.status_code == 409, told.text
    assert (await boss.post("/approvals/r/answer", json=answer(asked))).status_code == 202
    second = await server.asks(ann, "r2", amount=500)
    told = await boss.post("/approvals/r2/answer", json=answer(second, digest=asked.digest))
    assert (told.status_code, "what was seen is not what would be done" in told.text) == (409, True)


async def test_s16_other_arguments_than_were_signed_are_refused_and_nothing_is_done(signing: Server) -> None:
    ann, boss = await signing.signed_in("ann", Role.OPERATOR), await signing.signed_in("boss", Role.APPROVER)
    asked = await signing.asks(ann)
    now = signing.app.store.now() / 1e6
    as_shown = sign_answer(asked, BOSS, approved=True, now=now)
    lower = sign_answer(asked, BOSS, approved=True, arguments={"amount": 4}, now=now)
    for proof, arguments in ((as_shown, {"amount": 5_000}), (lower, {"amount": 5_000}), (lower, None)):
        told = await boss.post("/approvals/r/answer", json=answer(asked, proof=proof, arguments=arguments))
        assert (told.status_code, "what is signed is another answer" in told.text) == (409, True), told.text
    assert await signing.app.open_approvals("r")
    signed = answer(asked, proof=lower, arguments={"amount": 4})
    assert (await boss.post("/approvals/r/answer", json=signed)).status_code == 202
    assert await (await signing.app.handle("r")).result() == "refunded 4"


async def test_s22_an_answer_counts_with_its_authors_signature(signing: Server) -> None:
    ann, boss = await signing.signed_in("ann", Role.OPERATOR), await signing.signed_in("boss", Role.APPROVER)
    asked = await signing.asks(ann)
    now = signing.app.store.now() / 1e6
    forged = sign_answer(asked, EVE, by="user:boss", approved=True, now=now)
    over_no = sign_answer(asked, BOSS, approved=False, now=now)
    for proof in (None, forged, over_no):
        told = await boss.post("/approvals/r/answer", json=answer(asked, proof=proof))
        assert told.status_code == 409, told.text
    good = sign_answer(asked, BOSS, approved=True, now=now)
    assert (await boss.post("/approvals/r/answer", json=answer(asked, proof=good))).status_code == 202
    again = await signing.asks(ann, "r2")
    told = await boss.post("/approvals/r2/answer", json=answer(again, proof=good))  # S24
    assert told.status_code == 409


async def test_s26_who_has_answered_too_much_is_held_back(server: Server) -> None:
    ann, boss = await server.signed_in("ann", Role.OPERATOR), await server.signed_in("boss", Role.APPROVER)
    for number in range(2):
        asked = await server.asks(ann, f"r{number}")
        assert (await boss.post(f"/approvals/r{number}/answer", json=answer(asked))).status_code == 202
    asked = await server.asks(ann, "r2")
    again = await server.signed_in(
        "Boss", Role.APPROVER
    )  # another session, another spelling: the same person
    for who in (boss, again):
        told = await who.post("/approvals/r2/answer", json=answer(asked))
        assert (told.status_code, "held back until" in told.text) == (409, True)
    eve = await server.signed_in("eve", Role.APPROVER)
    assert (await eve.post("/approvals/r2/answer", json=answer(asked))).status_code == 202


async def test_s30_another_site_answers_nothing_with_somebodys_session(server: Server) -> None:
    asked = await server.asks(await server.signed_in("ann", Role.OPERATOR))
    for said in (
        {"origin": "https://evil.example.org"},
        {"sec-fetch-site": "cross-site"},
        {"accept": "*/*"},  # says nothing of where it comes from
    ):
        boss = await server.signed_in("boss", Role.APPROVER, **said)
        assert (await boss.post("/approvals/r/answer", json=answer(asked))).status_code == 403
    assert await server.app.open_approvals("r")
