from __future__ import annotations

from pathlib import Path

import pytest

from perdure.access.gates import LINK
from perdure.access.sweeping import Sweeping
from perdure.core.principal import Principal
from perdure.core.roles import Role
from perdure.testing import SkippingClock
from tests.access.doors import door

ANN = Principal(subject="user:ann", issuer="os", grants=frozenset({"payments:read"}))


async def test_a_session_says_who_asks_and_of_which_tenant(tmp_path: Path) -> None:
    async with door(f"sqlite:///{tmp_path}/a.db") as there:
        for tenant in ("default", "acme.eu"):
            cookie = await there.gate.sessions.begin(
                ANN, tenant=tenant, roles=frozenset({Role.ADMIN}), how=LINK, agent="Firefox"
            )
            status, told = await there.knock(cookie=cookie)
            assert status == 200
            assert told.pop("via").startswith("session:")
            assert told == {
                "subject": "user:ann",
                "tenant": tenant,
                "roles": ["admin"],
                "grants": ["payments:read"],
            }
        assert {s.tenant for s in await there.gate.sessions.ls()} == {"default", "acme.eu"}
        # what stands in the store opens nothing
        for key, cell in await there.app.store.cells("session"):
            assert cookie.partition(".")[0] not in key.name + cell.data.decode()
            assert (await there.knock(cookie=key.name))[0] == 401


async def test_who_signs_out_is_out_at_once() -> None:
    async with door() as there:
        cookies = [
            await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset({Role.VIEWER}), how=LINK)
            for _ in range(3)
        ]
        await there.gate.sessions.end(cookies[0])
        assert [(await there.knock(cookie=c))[0] for c in cookies] == [401, 200, 200]
        assert await there.gate.sessions.revoke(subject="user:bob") == 0
        assert await there.gate.sessions.revoke(tenant="default", subject="Ann") == 2
        assert [(await there.knock(cookie=c))[0] for c in cookies] == [401, 401, 401]


@pytest.mark.parametrize(
    "cookie", ["", ".", "x" * 64, "0" * 64, "0" * 64 + ".acme", "0" * 64 + "." + "a" * 999]
)
async def test_what_is_no_session_is_none(cookie: str) -> None:
    async with door() as there:
        assert (await there.knock(cookie=cookie))[0] == 401


async def test_a_session_slides_and_ends() -> None:
    clock = SkippingClock()
    async with door(access={"idle": 7200, "longest": 5 * 3600}, clock=clock) as there:
        cookie = await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset(), how=LINK)
        for hours in (1.9, 1.9, 1.1):  # 4.9 hours in all: it slides
            clock.advance(hours * 3600)
            assert (await there.knock(cookie=cookie))[0] == 200
        clock.advance(0.1 * 3600)
        assert (await there.knock(cookie=cookie))[0] == 401  # and ends
        assert await there.gate.sessions.ls() == []

        unused = await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset(), how=LINK)
        clock.advance(7200)
        assert (await there.knock(cookie=unused))[0] == 401

        await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset(), how=LINK)
        sweeping = Sweeping(there.app)
        assert await sweeping.sweep() == 0
        clock.advance(7201)
        assert await sweeping.sweep() == 1
        assert await there.gate.sessions.ls() == []


async def test_what_a_session_changes_comes_from_a_page_of_this_server() -> None:
    """S30: a page of another site makes the browser send a form."""
    async with door() as there:
        cookie = await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset(), how=LINK)
        assert (await there.knock("POST", cookie=cookie, sec_fetch_site="same-origin"))[0] == 200
        assert (await there.knock("POST", cookie=cookie, origin="http://127.0.0.1:7000"))[0] == 200
        for said in (
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
            {"origin": "http://127.0.0.1:7001"},  # a neighbour: cookies know no ports
            {"origin": "null"},
            {},
        ):
            assert (await there.knock("POST", cookie=cookie, **said))[0] == 403
            assert (await there.knock("GET", cookie=cookie, **said))[0] == 200


async def test_who_was_revoked_is_not_let_in() -> None:
    async with door() as there:
        cookie = await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset(), how=LINK)
        await there.app.revoke(user="ann", by="bob")
        status, told = await there.knock(cookie=cookie)
        assert (status, told["detail"]) == (
            403,
            "`user:ann` was revoked by `bob`: an admin can restore it",
        )


async def test_who_asks_too_often_is_told_when_there_is_room() -> None:
    clock = SkippingClock()
    async with door(access={"rate": "3/s"}, clock=clock) as there:
        cookie = await there.gate.sessions.begin(ANN, tenant="default", roles=frozenset(), how=LINK)
        other = await there.gate.sessions.begin(ANN, tenant="acme", roles=frozenset(), how=LINK)
        assert [(await there.knock(cookie=cookie))[0] for _ in range(4)] == [200, 200, 200, 429]
        assert (await there.knock(cookie=other))[0] == 200
