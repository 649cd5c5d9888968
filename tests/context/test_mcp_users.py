"""MCP servers with `auth = "user"`: each call with the account of the user for whom the run acts, and no other."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from perdure import App, ConfigError, Handle, NotDone, Principal, Run
from perdure.core.errors import ProviderError
from perdure.core.ids import RunRef
from perdure.core.provider_settings import ProviderSettings
from perdure.identity import MasterKeys
from perdure.identity.oauth import OAuthClient
from perdure.journal import Kind
from perdure.testing import OAuthServer
from perdure.vault import connect_browser
from tests.context.guarded import Guarded, guarded
from tests.faults.processes import until
from tests.vault.conftest import Browser

ANN, BOB = "user:ann", "user:bob"


@pytest.fixture
def oauth() -> Iterator[OAuthServer]:
    with OAuthServer(client_secret=None, auth_method="none") as server:
        yield server


@pytest.fixture
async def desk(oauth: OAuthServer) -> AsyncIterator[Guarded]:
    async with guarded(oauth) as desk:
        yield desk


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def app(desk: Guarded, oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    hub = oauth.settings(resource=desk.url, scopes=["read"], auth_method="none")
    server = {"url": desk.url, "auth": "user", "provider": "hub", "scopes": ["read"]}
    return clerks(App("memory://", providers={"hub": hub}, mcp={"desk": server}))


def clerks(app: App) -> App:
    @app.agent("desk")
    async def clerk(run: Run, order: str) -> str:
        tools = await app.mcp.tools(run, "desk")
        answer = await (run.call(tools["refund"], order=order) if order else run.call(tools["whoami"]))
        return answer.text or answer.structured["result"]

    return app


async def begun(app: App, user: str, order: str = "") -> Handle:
    return await app.start("desk", order, on_behalf_of=Principal(subject=user, issuer="test"))


async def reviewed(app: App, user: str = ANN) -> None:
    found = await app.mcp.ls("desk", user=user)
    await app.mcp.review("desk", {t.name: t.now for t in found if t.now is not None}, by="eve")


async def needs_connection(app: App, run: Handle) -> bool:
    record = await app.store.get(RunRef("default", run.id))
    return record is not None and record.reasons == ("needs_connection",)


async def test_each_user_has_a_connection_of_their_own_and_waits_until_there_is_an_account(
    app: App, desk: Guarded, oauth: OAuthServer, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "perdure")
    async with app:
        await connect_browser(app.vault, "default", ANN, "hub", tell=browser)
        await reviewed(app)
        assert await (await begun(app, ANN)).result() == "ann"

        # given a user who has connected nothing: the run waits, and is shown how to go on
        oauth._records.user = "bob"
        run = await begun(app, BOB)
        await until(lambda: needs_connection(app, run), "it waits for bob")
        assert desk.done == ["whoami ann"]
        waiting = next(e for e in await run.entries() if e.kind == Kind.WAITING)
        assert b"perdure connect hub --user bob" in waiting.payload

        await connect_browser(app.vault, "default", BOB, "hub", tell=browser)
        assert await run.result() == "bob"
        assert len(app.mcp._servers._open) == 2
        journals = b"".join([e.payload for e in [*await run.entries()]])

    assert all(
        a.form.get("resource") == desk.url for a in oauth.asked if a.endpoint in ("token", "authorize")
    )
    secrets = oauth.secrets()
    assert len(secrets) >= 4 and set(desk.shown) <= {*secrets, ""}
    assert not [s for s in secrets if s.encode() in journals or s in caplog.text]


async def test_a_token_that_is_not_taken_is_renewed_once(
    app: App, desk: Guarded, oauth: OAuthServer, browser: Browser
) -> None:
    async with app:
        await connect_browser(app.vault, "default", ANN, "hub", tell=browser)
        await reviewed(app)
        # given one that looks good for another hour
        desk.refused.add(next(s for s in oauth.secrets() if s.startswith("access")))
        before = len(oauth.asked)
        run = await begun(app, ANN)
        assert await run.result() == "ann"
        assert [a.form["grant_type"] for a in oauth.asked[before:] if a.endpoint == "token"] == [
            "refresh_token"
        ]
        assert desk.done == ["whoami ann"]

        # given a server that takes none at all: it is not asked for ever
        desk.refused = Everything()
        again = await begun(app, ANN)
        with pytest.raises(Exception, match="did not take the token of `user:ann` with `hub`"):
            await again.result()
        assert oauth.count("token", grant_type="refresh_token") == 2
        assert desk.done == ["whoami ann"]


class Everything(set[str]):
    def __contains__(self, _: object) -> bool:
        return True


async def test_a_call_that_needs_more_than_was_granted_waits_for_the_user_to_grant_it(
    app: App, desk: Guarded, oauth: OAuthServer, browser: Browser
) -> None:
    async with app:
        await connect_browser(app.vault, "default", ANN, "hub", tell=browser)
        await reviewed(app)
        run = await begun(app, ANN, "A-1")
        await until(lambda: needs_connection(app, run), "it waits for ann")
        assert desk.done == []

        # when ann is asked, it is for what was granted and for what the server says
        made = await connect_browser(app.vault, "default", ANN, "hub", tell=browser)
        assert set(made.grant.scopes) == {"read", "write"}
        assert [ref.id for ref in made.woken] == [run.id]
        assert await run.result() == "refunded"
        assert desk.done == ["refund A-1 ann"]


async def test_what_guards_a_server_is_found_and_perdure_registers_itself_there(
    monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    with OAuthServer(registers=True) as oauth:
        async with guarded(oauth) as desk:
            app = clerks(App("memory://", mcp={"desk": {"url": desk.url, "auth": "user"}}))
            async with app:
                # given nothing but the server's address
                await connect_browser(app.vault, "default", ANN, "desk", tell=browser)
                await reviewed(app)
                assert await (await begun(app, ANN)).result() == "ann"
                assert oauth.count("register") == 1 and oauth.count("authorize", client_id="client-1") == 1
                assert oauth.count("token", client_id="client-1", resource=desk.url) == 1

                # when the server names another OAuth server, that one is not shown what the first has given
                desk.refused.add(next(s for s in oauth.secrets() if s.startswith("access")))
                with OAuthServer(registers=True) as thief:
                    desk.guard = thief.url
                    assert await (await begun(app, ANN)).result() == "ann"
                    assert thief.asked == [] and oauth.count("token", client_id="client-1") == 2


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"resource": "https://elsewhere.example/mcp"},
            "tells of `https://elsewhere.example/mcp`, and not of",
        ),
        ({"authorization_servers": ["http://evil.example"]}, "that is no https address"),
        ({"authorization_servers": []}, "does not say which OAuth server guards it"),
    ],
)
async def test_a_server_that_says_of_itself_what_is_not_so(
    oauth: OAuthServer, desk: Guarded, told: dict[str, Any], said: str
) -> None:
    desk.tells = told
    settings = ProviderSettings(protected_resource=desk.url)
    with pytest.raises(ProviderError, match=said):
        await OAuthClient("desk", settings).authorize("http://127.0.0.1/callback")


async def test_an_oauth_server_that_takes_no_new_clients_is_said(oauth: OAuthServer, desk: Guarded) -> None:
    with pytest.raises(ConfigError, match="no place where clients register themselves"):
        await OAuthClient("desk", ProviderSettings(protected_resource=desk.url)).authorize(
            "http://127.0.0.1/c"
        )
    known = ProviderSettings(protected_resource=desk.url, client_id="perdure")
    begun = await OAuthClient("desk", known).authorize("http://127.0.0.1/callback")
    assert begun.url.startswith(f"{oauth.url}/authorize") and begun.scopes == ("read",)
    with pytest.raises(ValueError, match="is for one OAuth server"):
        ProviderSettings(protected_resource=desk.url, client_secret="env:X")


async def test_without_a_user_the_server_says_that_it_wants_one(app: App) -> None:
    with pytest.raises(NotDone, match=r"wants to know who asks .*`perdure mcp ls desk --user NAME`"):
        await app.mcp.ls("desk")
    await app.close()


def test_tokens_that_are_for_somebody_else_are_not_shown(oauth: OAuthServer) -> None:
    for resource, said in [
        (None, "nobody in particular"),
        ("https://crm.example/other", "crm.example/other"),
    ]:
        app = App(
            "memory://",
            providers={
                "hub": oauth.settings(auth_method="none", **({"resource": resource} if resource else {}))
            },
            mcp={"crm": {"url": "https://crm.example/mcp", "auth": "user", "provider": "hub"}},
        )
        with pytest.raises(ConfigError, match=f"must not be shown tokens of provider `hub`.*{said}"):
            app.mcp._ready("crm")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"command": "x", "auth": "user"}, "is for a `url`"),
        ({"url": "https://x.example", "provider": "hub"}, 'are for `auth = "user"`'),
        (
            {"url": "https://x.example", "auth": "user", "headers": {"authorization": "env:X"}},
            "leave one out",
        ),
    ],
)
def test_settings_that_say_two_things(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        App("memory://", mcp={"crm": more})
