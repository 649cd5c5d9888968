"""The server that tests connect to keeps the rules itself: what it lets through proves nothing otherwise."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from perdure.testing import ManualClock, OAuthServer

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
BACK = "http://127.0.0.1:4711/callback"
BASIC = ("perdure", "a-clients-secret")
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[OAuthServer]:
    with OAuthServer(clock=clock, lifetime=600) as server:
        yield server


@pytest.fixture
def http(server: OAuthServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, follow_redirects=False) as http:
        yield http


def authorize(http: httpx2.Client, **changed: str | None) -> httpx2.Response:
    asked = {
        "response_type": "code", "client_id": "perdure", "redirect_uri": BACK, "scope": "read", "state": "s",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    } | changed  # fmt: skip
    return http.get("/authorize?" + urlencode({name: v for name, v in asked.items() if v is not None}))


def sent_back(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def token(http: httpx2.Client, *, auth: Any = BASIC, **form: str) -> httpx2.Response:
    return http.post("/token", data=form, auth=auth)


def exchange(http: httpx2.Client, code: str, **changed: str) -> httpx2.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    return token(http, **{**form, **changed})


def tokens(http: httpx2.Client) -> dict[str, Any]:
    return exchange(http, sent_back(authorize(http))["code"]).json()


def renewed(http: httpx2.Client, refresh: str) -> httpx2.Response:
    return token(http, grant_type="refresh_token", refresh_token=refresh)


def who(http: httpx2.Client, access: str) -> int:
    return http.get("/me", headers={"Authorization": f"Bearer {access}"}).status_code


def test_a_code_brings_tokens_that_the_api_takes(http: httpx2.Client, server: OAuthServer) -> None:
    back = sent_back(authorize(http))
    assert (back["state"], back["iss"]) == ("s", server.url)

    given = exchange(http, back["code"]).json()

    assert (given["token_type"], given["scope"], given["expires_in"]) == ("Bearer", "read", 600)
    assert who(http, given["access_token"]) == 200
    assert who(http, given["refresh_token"]) == who(http, "guessed") == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example.com/callback"},
        {"redirect_uri": "http://127.0.0.1:4711/elsewhere"},
        {"redirect_uri": "http://127.0.0.1.evil.example.com/callback"},
        {"redirect_uri": None},
        {"client_id": "another"},
    ],
)
def test_to_an_address_that_is_not_registered_nobody_is_sent(
    http: httpx2.Client, changed: dict[str, str | None]
) -> None:
    answer = authorize(http, **changed)
    assert answer.status_code >= 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_what_oauth_2_1_does_not_know_is_refused(
    http: httpx2.Client, changed: dict[str, str | None], error: str
) -> None:
    assert sent_back(authorize(http, **changed))["error"] == error


def test_a_user_who_says_no(http: httpx2.Client, server: OAuthServer) -> None:
    server.disagree()
    assert sent_back(authorize(http))["error"] == "access_denied"


@pytest.mark.parametrize(
    "changed",
    [{"code_verifier": "w" * 43}, {"redirect_uri": "http://127.0.0.1:4712/callback"}, {"code": "guessed"}],
)
def test_a_code_is_good_for_who_began_only(http: httpx2.Client, changed: dict[str, str]) -> None:
    answer = exchange(http, **{"code": sent_back(authorize(http))["code"], **changed})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_code_is_good_once(http: httpx2.Client) -> None:
    code = sent_back(authorize(http))["code"]
    assert exchange(http, code).status_code == 200
    assert exchange(http, code).json()["error"] == "invalid_grant"


def test_a_client_must_say_who_it_is(http: httpx2.Client) -> None:
    code = sent_back(authorize(http))["code"]
    for auth in (None, ("perdure", "wrong"), ("another", "a-clients-secret")):
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        answer = http.post("/token", data={**form, "client_id": "perdure"}, auth=auth)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_access_token_ends(http: httpx2.Client, clock: ManualClock) -> None:
    given = tokens(http)
    clock.advance(599)
    assert who(http, given["access_token"]) == 200
    clock.advance(1)
    assert who(http, given["access_token"]) == 401
    assert who(http, renewed(http, given["refresh_token"]).json()["access_token"]) == 200


def test_a_refresh_token_that_comes_again_ends_the_family(http: httpx2.Client) -> None:
    first, others = tokens(http), tokens(http)
    second = renewed(http, first["refresh_token"]).json()
    third = renewed(http, second["refresh_token"]).json()

    assert renewed(http, first["refresh_token"]).json()["error"] == "invalid_grant"

    assert who(http, third["access_token"]) == 401
    assert renewed(http, third["refresh_token"]).json()["error"] == "invalid_grant"
    assert who(http, others["access_token"]) == 200, "of another consent"


def test_what_is_taken_back_is_good_no_more(http: httpx2.Client) -> None:
    given, others = tokens(http), tokens(http)

    assert http.post("/revoke", data={"token": given["refresh_token"]}, auth=BASIC).status_code == 200

    assert who(http, given["access_token"]) == 401
    assert renewed(http, given["refresh_token"]).json()["error"] == "invalid_grant"
    assert who(http, others["access_token"]) == 200
    assert http.post("/revoke", data={"token": "unknown"}, auth=BASIC).status_code == 200, "RFC 7009, 2.2"
    assert http.post("/revoke", data={"token": others["access_token"]}).status_code == 401
    assert who(http, others["access_token"]) == 200


def test_a_device(http: httpx2.Client, server: OAuthServer, clock: ManualClock) -> None:
    told = http.post("/device", data={"scope": "read"}, auth=BASIC).json()

    def poll() -> httpx2.Response:
        clock.advance(told["interval"])
        return token(http, grant_type=DEVICE, device_code=told["device_code"])

    assert poll().json()["error"] == "authorization_pending"
    early = token(http, grant_type=DEVICE, device_code=told["device_code"])
    assert early.json()["error"] == "slow_down"
    server.type_in(told["user_code"])
    given = poll().json()
    assert who(http, given["access_token"]) == 200
    assert poll().status_code == 400, "good once"

    late = http.post("/device", data={"scope": "read"}, auth=BASIC).json()
    clock.advance(late["expires_in"])
    assert token(http, grant_type=DEVICE, device_code=late["device_code"]).json()["error"] == "expired_token"
    with pytest.raises(KeyError):
        server.type_in("GUESSED")


def test_faults_come_in_order_and_end(http: httpx2.Client, server: OAuthServer) -> None:
    given = tokens(http)
    server.fail(503, retry_after=3)
    server.fail(0)

    first = renewed(http, given["refresh_token"])
    assert (first.status_code, first.headers["Retry-After"]) == (503, "3")
    with pytest.raises(httpx2.RemoteProtocolError):
        renewed(http, given["refresh_token"])
    assert renewed(http, given["refresh_token"]).status_code == 200, "the token was not used up by the faults"
    assert server.count("token", grant_type="refresh_token") == 3


def test_it_comes_back_where_it_was(server: OAuthServer, http: httpx2.Client) -> None:
    given, url = tokens(http), server.url
    server.stop()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/me")
    server.start()
    with httpx2.Client(base_url=url) as again:
        assert who(again, given["access_token"]) == 200
