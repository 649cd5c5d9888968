from __future__ import annotations

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from perdure.access.links import Links
from perdure.access.origins import LOOPBACK, Hosts
from perdure.testing import SkippingClock


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7000", 200),
        ("localhost", 200),
        ("LOCALHOST:7000", 200),
        ("[::1]:7000", 200),
        ("rebound.example.org", 421),  # its owner lets it point to 127.0.0.1 now
        ("rebound.example.org:7000", 421),
        ("127.0.0.1.example.org", 421),
        ("example.org:127.0.0.1", 421),
        ("", 421),
    ],
)
async def test_only_names_are_answered_that_the_server_has(host: str, status: int) -> None:
    app = Hosts(PlainTextResponse("here"), names=LOOPBACK)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1"
    ) as client:
        assert (await client.get("/", headers={"host": host})).status_code == status


async def test_a_name_with_its_port_is_that_port_alone() -> None:
    app = Hosts(PlainTextResponse("here"), names=["perdure:8000"])
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://perdure:8000"
    ) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/", headers={"host": "perdure:8001"})).status_code == 421


def test_a_link_is_good_once_and_for_a_while() -> None:
    clock = SkippingClock()
    links = Links(clock=clock)
    first, second = (links.new("http://127.0.0.1:7000/").partition("?token=") for _ in range(2))
    assert first[0] == "http://127.0.0.1:7000/sign-in/link"
    assert [links.use(token) for token in (first[2], first[2], "", second[2][:-1])] == [
        True,
        False,
        False,
        False,
    ]
    clock.advance(15 * 60)
    assert not links.use(second[2])
    many = [links.new("http://127.0.0.1:7000").partition("?token=")[2] for _ in range(101)]
    assert [links.use(many[0]), links.use(many[1])] == [False, True]
