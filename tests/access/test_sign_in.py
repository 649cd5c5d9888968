"""Coming in by a browser: by the terminal's link, and by a company's provider."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from perdure import App, Run, verify_answers
from perdure.access.entrance import Entrance
from perdure.access.gates import AppGate
from perdure.access.links import Links
from perdure.web import pages
from tests.access.company import CLIENT, SECRET, Company

URL = "http://127.0.0.1:7000"
HERE = {"origin": URL}


class Browser:
    """Somebody at a browser, of this server."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.gate = AppGate(app)
        self.links = Links(clock=app.clock)
        site = pages(app, self.gate, entrance=Entrance(self.gate, links=self.links))
        self.asgi = site
        self.client = self.another()

    def another(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.asgi), base_url=URL)

    async def sign_in(self, company: Company, **form: str) -> httpx2.Response:
        """All the way: the answer of the callback."""
        away = await self.client.post("/sign-in/corp", data=form, headers=HERE)
        assert away.status_code == 200, away.text
        return await self.client.get(company.authorize(_refresh(away)))

    async def me(self) -> int:
        return (await self.client.get("/runs")).status_code


def _refresh(answer: httpx2.Response) -> str:
    return answer.headers["refresh"].partition("url=")[2]


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with Company() as made:
        yield made


@pytest.fixture
async def browser(company: Company, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Browser]:
    company.user, company.groups, company.says = "grace", ["ops"], {}
    monkeypatch.setenv("CORP_SECRET", SECRET)
    corp = {"url": company.url, "client_id": CLIENT, "client_secret": "env:CORP_SECRET", "tenant": "acme"}
    app = App(
        "memory://",
        access={
            "sign_in": {"corp": corp},
            "roles": {"corp": {"operator": "ops", "approver": ["finance"]}},
            "sign_ins": "1000/min",
        },
    )
    await app.open()
    made = Browser(app)
    yield made
    await made.client.aclose()
    await app.close()


# by a link ---------------------------------------------------------------------------------------------------------


async def test_a_link_lets_in_once(browser: Browser) -> None:
    link = browser.links.new(URL)
    assert await browser.me() == 401

    page = await browser.client.get(link)  # what a preview does, too: nobody is in by that
    assert page.status_code == 200
    assert await browser.me() == 401
    token = unescape(re.search(r'name="token" value="([^"]*)"', page.text)[1])  # type: ignore[index]

    answer = await browser.client.post("/sign-in/link", data={"token": token}, headers=HERE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(r"perdure_session_7000=[0-9a-f]{64}; HttpOnly; Path=/; SameSite=strict", cookie), (
        "no domain, no end beyond the browser's"
    )
    assert await browser.me() == 200

    again = await browser.another().post("/sign-in/link", data={"token": token}, headers=HERE)
    assert again.status_code == 401
    assert "set-cookie" not in again.headers


async def test_another_site_signs_nobody_in(browser: Browser) -> None:
    """Login CSRF: somebody would work in the attacker's session without knowing it."""
    token = browser.links.new(URL).partition("token=")[2]
    for said in ({"origin": "https://evil.example.org"}, {"sec-fetch-site": "cross-site"}, {}):
        answer = await browser.client.post("/sign-in/link", data={"token": token}, headers=said)
        assert answer.status_code == 403
    assert browser.links.use(token)


# by a provider -----------------------------------------------------------------------------------------------------


async def test_a_provider_says_who_it_is_and_what_they_may(browser: Browser, company: Company) -> None:
    answer = await browser.sign_in(company, to="/approvals")
    assert answer.status_code == 200
    assert _refresh(answer) == "/approvals"
    assert await browser.me() == 200
    (session,) = await browser.gate.sessions.ls()
    assert (session.principal.subject, session.tenant, session.how) == ("user:grace", "acme", "corp")
    assert session.principal.issuer == company.url
    page = await browser.client.get("/runs")
    assert "acme" in page.text

    out = await browser.client.post("/sign-out", headers=HERE)
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert await browser.me() == 401
    assert await browser.gate.sessions.ls() == []


async def test_roles_are_those_that_the_settings_give_now(browser: Browser, company: Company) -> None:
    await browser.sign_in(company)
    assert await browser.me() == 200
    browser.gate.settings = browser.gate.settings.model_copy(update={"roles": {}})
    assert await browser.me() == 403
    browser.gate.settings = browser.gate.settings.model_copy(update={"sign_in": {}})
    assert await browser.me() == 401


async def test_a_sign_in_leads_back_to_the_page_that_was_asked_for(
    browser: Browser, company: Company
) -> None:
    page = await browser.client.get("/runs?status=failed&agent=a")
    assert page.status_code == 401
    href = unescape(re.search(r'href="(/sign-in[^"]*)"', page.text)[1])  # type: ignore[index]
    to = re.search(r'name="to" value="([^"]*)"', (await browser.client.get(href)).text)
    assert _refresh(await browser.sign_in(company, to=unescape(to[1]))) == "/runs?status=failed&agent=a"  # type: ignore[index]


async def test_who_has_no_role_is_told_so_and_is_not_in(browser: Browser, company: Company) -> None:
    company.groups = ["strangers"]
    answer = await browser.sign_in(company)
    assert answer.status_code == 403
    assert "has no role here" in answer.text
    assert "strangers" in answer.text
    assert await browser.gate.sessions.ls() == []


@pytest.mark.parametrize(
    "says",
    [
        {"aud": "another"},
        {"iss": "https://evil.example.org"},
        {"nonce": "of another sign-in"},
        {"exp": 1},
        {"sub": ""},
    ],
)
async def test_a_token_that_is_not_for_this_sign_in_counts_for_nothing(
    browser: Browser, company: Company, says: dict[str, Any]
) -> None:
    company.says = says
    assert (await browser.sign_in(company)).status_code == 401
    assert await browser.gate.sessions.ls() == []


async def test_an_answer_counts_once_in_the_browser_that_asked(browser: Browser, company: Company) -> None:
    away = await browser.client.post("/sign-in/corp", headers=HERE)
    back = company.authorize(_refresh(away))

    # in another browser, into which an attacker has put it: nobody works in the attacker's session
    assert (await browser.another().get(back)).status_code == 401
    # and that has used it up
    assert (await browser.client.get(back)).status_code == 401

    away = await browser.client.post("/sign-in/corp", headers=HERE)
    back = company.authorize(_refresh(away))
    other = back.replace("state=", "state=x")
    assert (await browser.client.get(other)).status_code == 401
    assert (await browser.client.get(back)).status_code == 200
    assert (await browser.client.get(back)).status_code == 401
    assert len(await browser.gate.sessions.ls()) == 1


async def test_nobody_is_sent_elsewhere_after_a_sign_in(browser: Browser, company: Company) -> None:
    for to in ("https://evil.example.org", "//evil.example.org", "/\\evil.example.org", "runs", ""):
        assert _refresh(await browser.sign_in(company, to=to)) == "/"


async def test_what_the_store_holds_signs_nobody_in(browser: Browser, company: Company) -> None:
    away = await browser.client.post("/sign-in/corp", headers=HERE)
    state = parse_qs(urlsplit(_refresh(away)).query)["state"][0]
    ((key, cell),) = await browser.app.store.cells("sign_in")
    held = key.name + cell.data.decode()
    assert state not in held
    assert browser.client.cookies["perdure_sign_in"] not in held
    assert SECRET not in held


async def test_the_ways_in_are_shown(browser: Browser) -> None:
    page = await browser.client.get("/sign-in")
    assert page.status_code == 200
    assert "Sign in with corp" in page.text
    assert (await browser.client.post("/sign-in/nobody", headers=HERE)).status_code == 401


# for one answer ----------------------------------------------------------------------------------------------------


async def asked(browser: Browser, company: Company) -> tuple[str, dict[str, str]]:
    """A question that Grace may answer, and the form on its page."""
    app = browser.app
    while not (found := await app.open_approvals("r")):
        await app.store.changed(app.store.changes(), within=0.1)
    page = (await browser.client.get("/approvals/r")).text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)[1]  # type: ignore[index]
    form = {
        "csrf": csrf,
        "step": "pay",
        "verdict": "approve",
        "digest": found[0].digest or "",
        "provider": "corp",
    }
    return page, form


@pytest.fixture
async def signing(company: Company, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Browser]:
    company.user, company.groups, company.says = "grace", ["finance"], {}
    monkeypatch.setenv("CORP_SECRET", SECRET)
    corp = {"url": company.url, "client_id": CLIENT, "client_secret": "env:CORP_SECRET"}
    app = App(
        "memory://",
        access={
            "sign_in": {"corp": corp},
            "roles": {"corp": {"approver": "finance"}},
            "sign_ins": "1000/min",
        },
        approvals={"issuers": {"corp": {"url": company.url, "audience": CLIENT}}},
    )

    @app.tool(effect="write", needs_approval=True)
    def pay(payee: str) -> str:
        return f"paid {payee}"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay, "Ada")

    async with app:
        made = Browser(app)
        await made.sign_in(company)
        await app.start("payer", run_id="r", by="user:ann")
        yield made
        await made.client.aclose()


async def test_a_fresh_sign_in_signs_one_answer(signing: Browser, company: Company) -> None:
    page, form = await asked(signing, company)
    assert "by a sign-in with corp" in page
    away = await signing.client.post("/approvals/r/sign-in", data=form, headers=HERE)
    assert away.status_code == 200, away.text
    sent = parse_qs(urlsplit(_refresh(away)).query)
    assert sent["max_age"] == ["0"]
    assert await signing.app.open_approvals("r")  # nothing is answered by going there

    back = company.authorize(_refresh(away))
    assert urlsplit(back).path == "/sign-in/corp/answer"
    assert (await signing.client.get(back.replace("/answer", "/callback"))).status_code == 401
    assert (await signing.client.get(back)).status_code == 401  # and that has used it up

    back = company.authorize(
        _refresh(await signing.client.post("/approvals/r/sign-in", data=form, headers=HERE))
    )
    done = await signing.client.get(back)
    assert (done.status_code, _refresh(done)) == (200, "/approvals?done=approved&run=r")
    run = await signing.app.handle("r")
    assert await run.result() == "paid Ada"
    (said,) = verify_answers(run.ref, await run.entries(), signing.app.approval_settings)
    assert (said.by, said.decision, said.signature) == ("user:grace", "approve", "unknown")
    assert (await signing.client.get(back)).status_code == 401


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"sub": "eve"}, "`user:eve` has signed in"),
        ({"auth_time": 1}, "is not fresh"),
        ({"nonce": "of another answer"}, "was for another answer"),
    ],
)
async def test_a_sign_in_that_is_not_for_this_answer_signs_nothing(
    signing: Browser, company: Company, says: dict[str, Any], why: str
) -> None:
    _, form = await asked(signing, company)
    away = await signing.client.post("/approvals/r/sign-in", data=form, headers=HERE)
    company.says = says
    answer = await signing.client.get(company.authorize(_refresh(away)))
    assert (
        answer.status_code,
        why in unescape(answer.text).replace("</code>", "`").replace("<code>", "`"),
    ) == (
        409,
        True,
    ), answer.text
    assert await signing.app.open_approvals("r")


async def test_without_the_forms_token_nobody_is_sent_to_sign_an_answer(
    signing: Browser, company: Company
) -> None:
    _, form = await asked(signing, company)
    answer = await signing.client.post("/approvals/r/sign-in", data={**form, "csrf": "guessed"}, headers=HERE)
    assert answer.status_code == 403
