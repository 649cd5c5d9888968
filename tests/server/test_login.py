"""`perdure login`: a browser that is signed in lets a terminal in, by real processes and ports."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from perdure import App
from perdure.access.entrance import Entrance
from perdure.access.gates import LINK, AppGate
from perdure.core.principal import Principal
from perdure.core.roles import Role
from tests.web.browsers import serving

HERE_CODE = re.compile(r'name="csrf" value="(\w+)"')


class Site:
    """A server on a port, and Ann's browser at it."""

    def __init__(self, gate: AppGate, url: str, browser: httpx2.AsyncClient) -> None:
        self.gate, self.url, self.browser = gate, url, browser

    async def agree(self, page: str) -> str:
        """She lets it in: the address to which she is sent."""
        told = await self.browser.get(page)
        assert told.status_code == 200, told.text
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
        csrf = HERE_CODE.search(told.text)[1]  # type: ignore[index]
        answer = await self.browser.post("/terminal", data={**asked, "csrf": csrf})
        assert answer.status_code == 200, answer.text
        return answer.headers["refresh"].partition("url=")[2]

    async def exchange(self, code: str, verifier: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url) as stranger:
            return await stranger.post("/terminal/token", data={"code": code, "verifier": verifier})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    app = App("memory://")
    await app.open()
    gate = AppGate(app)
    async with serving(app, gate, entrance=Entrance(gate)) as url:
        ann = Principal(subject="user:ann", issuer="os")
        roles = frozenset({Role.OPERATOR})
        cookie = await gate.sessions.begin(ann, tenant="default", roles=roles, how=LINK)
        headers = {"cookie": f"perdure_session_{urlsplit(url).port}={cookie}", "origin": url}
        async with httpx2.AsyncClient(base_url=url, headers=headers) as browser:
            yield Site(gate, url, browser)
    await app.close()


async def test_a_terminal_is_let_in(site: Site) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perdure.cli", "login", site.url, "--no-browser", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    page = (await process.stderr.readline()).decode().strip()
    back = await site.agree(page)
    async with httpx2.AsyncClient() as browser:
        assert (await browser.get(back)).status_code == 200
    out, err = await process.communicate()
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["subject"] == "user:ann"
    assert told["token"].startswith("pds_")

    async with httpx2.AsyncClient(
        base_url=site.url, headers={"authorization": f"Bearer {told['token']}"}
    ) as own:
        assert (await own.get("/runs")).status_code == 200
    (terminal,) = [s for s in await site.gate.sessions.ls() if s.agent.startswith("terminal ")]
    assert terminal.roles == {Role.OPERATOR}
    cookie = {"cookie": f"perdure_session_{urlsplit(site.url).port}={told['token']}"}
    async with httpx2.AsyncClient(base_url=site.url, headers=cookie) as wrong:  # it is no browser's
        assert (await wrong.get("/runs")).status_code == 401
    await site.gate.sessions.revoke(subject="ann")
    async with httpx2.AsyncClient(
        base_url=site.url, headers={"authorization": f"Bearer {told['token']}"}
    ) as own:
        assert (await own.get("/runs")).status_code == 401


async def test_a_code_is_good_once_and_for_its_terminal(site: Site) -> None:
    verifier = "v" * 64
    challenge = "w1TpKUdYE9hUAcNSeeSRFioHDxfUxuHho_JHAfZ_vDM"
    page = f"/terminal?port=9&challenge={challenge}&state={'s' * 20}&note=lab"

    async def code() -> str:
        back = urlsplit(await site.agree(page))
        assert (back.hostname, back.port, back.path) == ("127.0.0.1", 9, "/callback")
        return parse_qs(back.query)["code"][0]

    assert (await site.exchange("guessed", verifier)).status_code == 401
    first = await code()
    assert (await site.exchange(first, "w" * 64)).status_code == 401
    assert (await site.exchange(first, verifier)).status_code == 401  # that has used it up
    second = await code()
    assert [(await site.exchange(second, verifier)).status_code for _ in range(2)] == [200, 401]


@pytest.mark.parametrize(
    "changed",
    [{"port": "0"}, {"port": "99999"}, {"port": "80@evil.net"}, {"challenge": "short"}, {"state": ""}],
)
async def test_only_what_the_command_makes_is_asked(site: Site, changed: dict[str, str]) -> None:
    asked = {"port": "9", "challenge": "c" * 43, "state": "s" * 20, **changed}
    assert (await site.browser.get("/terminal", params=asked)).status_code == 422
    assert (await site.browser.post("/terminal", data=asked)).status_code == 403  # without the form's token
    async with httpx2.AsyncClient(base_url=site.url) as stranger:
        assert (await stranger.get("/terminal", params=asked)).status_code == 401
