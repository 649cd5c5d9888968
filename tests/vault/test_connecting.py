"""Connecting an account: what must be sent, what must be refused, and what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from perdure.core.errors import ConfigError, ProviderError, ProviderRefused, ProviderUnavailable
from perdure.core.provider_settings import ProviderSettings
from perdure.identity.oauth import Device, Loopback, OAuthClient, Tokens, missing_scopes
from perdure.testing import OAuthServer, SkippingClock
from perdure.vault import Vault, connect_browser, connect_device
from tests.vault.conftest import ANN, HUB, SECRET, TENANT, Browser, me, wanted


@pytest.fixture
def client(server: OAuthServer) -> OAuthClient:
    return OAuthClient(HUB, server.settings(client_secret="env:HUB_SECRET"), secret=SECRET)


async def go(url: str) -> str:
    """Where the user is sent to who agrees."""
    async with httpx2.AsyncClient() as browser:
        answer = await browser.get(url, follow_redirects=False)
    return answer.headers["Location"]


def with_query(url: str, **changed: str | None) -> str:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changed
    return parts._replace(query=urlencode({n: v for n, v in query.items() if v is not None})).geturl()


# in a browser ------------------------------------------------------------------------------------------------------


async def test_the_challenge_is_that_of_the_rfc(client: OAuthClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    monkeypatch.setattr("secrets.token_urlsafe", lambda n: verifier)

    begun = await client.authorize("http://127.0.0.1:9/callback")

    sent = parse_qs(urlsplit(begun.url).query)
    assert sent["code_challenge"] == ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"]
    assert sent["code_challenge_method"] == ["S256"]
    assert sent["redirect_uri"] == ["http://127.0.0.1:9/callback"]
    assert (sent["response_type"], sent["scope"]) == (["code"], ["read write"])
    assert verifier not in begun.url.replace(sent["state"][0], "", 1)


async def test_each_beginning_is_another(client: OAuthClient) -> None:
    one, two = [await client.authorize("http://127.0.0.1:9/callback") for _ in range(2)]

    assert one.state != two.state
    assert one.verifier != two.verifier
    assert 43 <= len(one.verifier) <= 128
    for secret in (one.state, one.verifier):
        assert secret not in repr(one).replace(one.url, "")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"state": "another"}, "state"),
        ({"state": None}, "state"),
        ({"iss": "https://evil.example.com"}, "evil.example.com"),
        ({"iss": None}, "from `None`"),
        ({"code": None}, "no `code`"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"code": None, "error": "access_denied"}, "access_denied"),
    ],
)
async def test_who_comes_back_otherwise_than_they_were_sent_is_refused(
    client: OAuthClient, server: OAuthServer, changed: dict[str, str | None], says: str
) -> None:
    begun = await client.authorize("http://127.0.0.1:9/callback")
    came_to = await go(begun.url)

    with pytest.raises(ProviderRefused, match=says):
        await client.exchange(begun, with_query(came_to, **changed))

    assert not [a for a in server.asked if a.endpoint == "token" and a.status == 200]


async def test_a_code_of_somebody_elses_beginning_is_worth_nothing(client: OAuthClient) -> None:
    """What PKCE is for: a code that was caught on its way."""
    anns, eves = [await client.authorize("http://127.0.0.1:9/callback") for _ in range(2)]
    caught = parse_qs(urlsplit(await go(anns.url)).query)["code"][0]

    with pytest.raises(ProviderRefused, match="invalid_grant"):
        await client.exchange(eves, with_query(await go(eves.url), code=caught))


async def test_by_its_own_address_the_user_comes_back(
    vault: Vault, server: OAuthServer, browser: Browser
) -> None:
    connected = await connect_browser(vault, TENANT, ANN, HUB, tell=browser)

    (sent,) = [a.form["redirect_uri"] for a in server.asked if a.endpoint == "token"]
    assert sent.startswith("http://127.0.0.1:")
    assert sent.endswith("/callback")
    browser.close()
    assert browser.shown[-1][0] == 200
    assert "close this window" in browser.shown[-1][1]
    assert connected.grant.place.subject == ANN
    with pytest.raises(OSError):
        await asyncio.to_thread(browser.visit, sent)


async def test_somebody_else_at_the_address_changes_nothing(vault: Vault, browser: Browser) -> None:
    """Another page in the same browser, by a name that leads here; and whoever guesses."""
    answers: list[int] = []

    def tell(begun: object) -> None:
        uri = parse_qs(urlsplit(begun.url).query)["redirect_uri"][0]  # type: ignore[attr-defined]

        async def meddle() -> None:
            async with httpx2.AsyncClient() as other:
                answers.extend(
                    [
                        (await other.get(f"{uri}?code=x&state=guessed")).status_code,
                        (await other.get(uri.replace("/callback", "/"))).status_code,
                        (await other.post(f"{uri}?code=x&state=guessed")).status_code,
                        (await other.get(f"{uri}?code=x", headers={"Host": "evil.example.com"})).status_code,
                    ]
                )
            browser(begun)  # type: ignore[arg-type]

        going.append(asyncio.ensure_future(meddle()))

    going: list[asyncio.Future[None]] = []
    connected = await connect_browser(vault, TENANT, ANN, HUB, tell=tell)
    await asyncio.gather(*going)

    assert answers == [400, 404, 404, 404]
    assert connected.grant.version == 1


async def test_nobody_comes_back(vault: Vault) -> None:
    with pytest.raises(ProviderRefused, match="nobody came back"):
        await connect_browser(vault, TENANT, ANN, HUB, tell=lambda begun: None, patience=0.05)


async def test_a_port_that_is_taken_is_said() -> None:
    async with Loopback() as one:
        port = urlsplit(one.redirect_uri).port or 0
        with pytest.raises(ConfigError, match="redirect_port"):
            async with Loopback(port=port):
                pass


# on another device -------------------------------------------------------------------------------------------------


@pytest.fixture
def patient() -> Iterator[tuple[OAuthServer, SkippingClock]]:
    """A server whose time skips, so that a device that asks every five seconds takes none."""
    clock = SkippingClock()
    with OAuthServer(client_secret=None, auth_method="none", clock=clock) as server:
        yield server, clock


async def test_a_device_asks_no_faster_than_it_is_told(
    patient: tuple[OAuthServer, SkippingClock], vault: Vault
) -> None:
    server, clock = patient
    vault.providers["device"] = server.settings()  # type: ignore[index]
    told: list[Device] = []
    connecting = asyncio.create_task(
        connect_device(vault, TENANT, ANN, "device", tell=told.append, clock=clock)
    )
    began = clock.micros()

    async with asyncio.timeout(60):
        while server.count("token") < 3:  # noqa: ASYNC110  # the server's thread has no event of ours
            await asyncio.sleep(0.01)
    server.type_in(told[0].user_code)
    connected = await connecting

    asked = server.count("token")
    assert clock.micros() - began >= 5_000_000 * (asked - 1)
    assert connected.grant.scopes == ("read", "write")


async def test_a_device_that_is_too_fast_slows_down(client: OAuthClient, server: OAuthServer) -> None:
    begun = await client.device()

    assert await client.poll(begun) == 5
    assert await client.poll(begun) == 10, "RFC 8628, 3.5: five seconds more"


@pytest.mark.parametrize("what", ["no", "late"])
async def test_a_user_who_does_not_agree(
    patient: tuple[OAuthServer, SkippingClock], vault: Vault, what: str
) -> None:
    server, clock = patient
    vault.providers["device"] = server.settings()  # type: ignore[index]

    def tell(begun: Device) -> None:
        if what == "no":
            server.type_in(begun.user_code, agree=False)
        else:
            clock.advance(1790)

    with pytest.raises(ProviderRefused) as refused:
        await connect_device(vault, TENANT, ANN, "device", tell=tell, clock=clock)
    assert refused.value.code == ("access_denied" if what == "no" else "expired_token")


async def test_a_device_waits_for_a_provider_that_is_away(
    patient: tuple[OAuthServer, SkippingClock], vault: Vault
) -> None:
    server, clock = patient
    vault.providers["device"] = server.settings()  # type: ignore[index]
    server.fail(503, times=2)

    connected = await connect_device(
        vault, TENANT, ANN, "device", tell=lambda begun: server.type_in(begun.user_code), clock=clock
    )

    assert connected.grant.state == "good"


# providers ---------------------------------------------------------------------------------------------------------


async def test_a_provider_that_is_another_is_not_believed(server: OAuthServer) -> None:
    settings = ProviderSettings(issuer=f"{server.url}/", client_id="perdure")

    with pytest.raises(ProviderError, match="says that it is"):
        await OAuthClient(HUB, settings).endpoints()


async def test_a_provider_that_says_nothing_of_itself(server: OAuthServer) -> None:
    settings = ProviderSettings(issuer=f"{server.url}/tenant", client_id="perdure")

    with pytest.raises(ProviderError, match="does not tell of itself"):
        await OAuthClient(HUB, settings).endpoints()


async def test_what_is_set_goes_before_what_it_says(server: OAuthServer) -> None:
    settings = server.settings(token_endpoint="https://elsewhere.example.com/token")

    found = await OAuthClient(HUB, settings).endpoints()

    assert found.token_endpoint == "https://elsewhere.example.com/token"
    assert found.revocation_endpoint == f"{server.url}/revoke"


async def test_nobody_there() -> None:
    settings = ProviderSettings(issuer="http://127.0.0.1:1", client_id="perdure")

    with pytest.raises(ProviderUnavailable, match="cannot be reached: ConnectError"):
        await OAuthClient(HUB, settings).endpoints()


async def test_a_redirect_is_not_followed_with_a_secret(server: OAuthServer) -> None:
    client = OAuthClient(HUB, server.settings(client_secret="env:HUB_SECRET"), secret=SECRET)
    server.fail(307, headers={"Location": f"{server.url}/revoke"})

    with pytest.raises(ProviderRefused, match="status 307"):
        await client.refresh(Tokens(access="a", refresh="refresh-0123456789"))

    assert [a.endpoint for a in server.asked] == ["metadata", "token"]


@pytest.mark.parametrize(
    "auth",
    [
        {"auth_method": "client_secret_post", "client_secret": "env:HUB_SECRET"},
        {"auth_method": "client_secret_basic", "client_secret": "env:HUB_SECRET"},
        {},
    ],
    ids=["post", "basic", "none"],
)
async def test_every_way_to_say_who_one_is(auth: dict[str, str]) -> None:
    method = auth.get("auth_method", "none")
    secret = SECRET if auth else None
    with OAuthServer(client_secret=secret, auth_method=method) as server:
        client = OAuthClient(HUB, server.settings(**auth), secret=secret)
        begun = await client.authorize("http://127.0.0.1:9/callback")
        tokens = await client.exchange(begun, await go(begun.url))
        assert await asyncio.to_thread(me, tokens.access, server) == 200
        again = await client.refresh(tokens)
        assert await client.revoke(again)
        assert await asyncio.to_thread(me, again.access, server) == 401


async def test_an_api_key_is_a_credential_too(vault: Vault) -> None:
    await vault.connect_key(TENANT, ANN, "mail", " sk-0123456789\n", scopes=["send"])

    credential = await vault.credential(wanted(ANN, "send", provider="mail"))

    assert credential.header() == ("Authorization", "Token sk-0123456789")
    for key in ("", "two\nlines", "käse"):
        with pytest.raises(ConfigError, match="no API key"):
            await vault.connect_key(TENANT, ANN, "mail", key)
    with pytest.raises(ConfigError, match="takes no API keys"):
        await vault.connect_key(TENANT, ANN, HUB, "sk-0123456789")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({}, "no `access_token`"),
        ({"access_token": ""}, "no `access_token`"),
        ({"access_token": "a", "token_type": "mac"}, "`mac`"),
        ({"access_token": "a", "expires_in": "soon"}, "could not convert"),
        ({"access_token": "a", "expires_in": float("inf")}, "expires_in"),
        ({"access_token": "a", "expires_in": -1}, "expires_in"),
        ({"access_token": "a", "scope": ["read"]}, "no text"),
    ],
)
def test_answers_that_cannot_be_used(told: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Tokens.of_answer(told, now=0, asked=["read"])


def test_answers_of_all_kinds() -> None:
    read = Tokens.of_answer({"access_token": "a", "token_type": "bearer"}, now=7, asked=["read"])
    assert (read.scopes, read.expires_at, read.refresh) == (("read",), None, None)
    commas = Tokens.of_answer({"access_token": "a", "scope": "repo,gist"}, now=7, asked=["repo"])
    assert commas.scopes == ("repo", "gist"), "as GitHub says it"
    before = Tokens(access="a", refresh="r", scopes=("read",))
    after = Tokens.of_answer({"access_token": "b", "expires_in": 3}, now=7, asked=(), before=before)
    assert (after.refresh, after.scopes, after.expires_at) == ("r", ("read",), 3_000_007)
    assert "'a'" not in repr(before)
    assert missing_scopes(["read", "Write"], ["read", "write"]) == ("Write",)
