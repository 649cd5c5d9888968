"""HTTP clients against a real server: what each raises for each fault, and what that is."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import httpx
import httpx2
import pytest
import requests
import requests.adapters
import urllib3

from perdure import FailureClass
from perdure.runtime.boundary.diagnosis import Classifier, diagnose
from perdure.testing import SkippingClock
from tests.runtime.bad_server import BadServer, misbehaving, nobody

PERMANENT, TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
OVERLOADED, REFUSED = FailureClass.OVERLOADED, FailureClass.REFUSED

PATIENCE = 0.2
"""Seconds after which a client gives up on an answer."""

Client = Callable[[str], object]


@pytest.fixture
def server() -> Iterator[BadServer]:
    with misbehaving() as made:
        yield made


def by_httpx(url: str) -> object:
    return httpx.post(url, timeout=PATIENCE).raise_for_status()


def by_httpx2(url: str) -> object:
    return httpx2.post(url, timeout=PATIENCE).raise_for_status()


def by_requests(url: str) -> object:
    return requests.post(url, timeout=PATIENCE).raise_for_status()


def by_urllib3(url: str) -> object:
    with urllib3.PoolManager(timeout=PATIENCE, retries=False) as pool:
        return pool.request("POST", url).data


def by_urllib(url: str) -> object:
    with urllib.request.urlopen(url, data=b"{}", timeout=PATIENCE) as answer:
        return answer.read()


ALL: list[Client] = [by_httpx, by_httpx2, by_requests, by_urllib3, by_urllib]
WITH_STATUS: list[Client] = [by_httpx, by_httpx2, by_requests, by_urllib]
every_client = pytest.mark.parametrize("client", ALL)
every_client_with_status = pytest.mark.parametrize("client", WITH_STATUS)


def error_of(client: Client, url: str) -> BaseException:
    try:
        client(url)
    except Exception as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        return error
    raise AssertionError("it raised nothing")


def verdict(client: Client, url: str) -> tuple[FailureClass, bool]:
    found = diagnose(error_of(client, url))
    assert found.why
    return found.failure, found.not_sent


@every_client
def test_nobody_listens(client: Client) -> None:
    with nobody() as url:
        assert verdict(client, url) == (TRANSIENT, True)


@every_client
def test_no_such_host(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*args: object, **kwargs: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert verdict(client, "http://shop.invalid/") == (TRANSIENT, True)


@every_client
def test_no_answer_in_time(client: Client, server: BadServer) -> None:
    server.manner = "hang"
    assert verdict(client, server.url) == (TRANSIENT, False)
    assert server.asked == 1


@every_client
def test_it_hangs_up(client: Client, server: BadServer) -> None:
    server.manner = "close"
    assert verdict(client, server.url) == (TRANSIENT, False)


@every_client
def test_it_hangs_up_in_the_middle_of_the_answer(client: Client, server: BadServer) -> None:
    server.answers(200, b'{"receipt": ')
    server.manner = "cut"
    assert verdict(client, server.url) == (TRANSIENT, False)


@every_client_with_status
@pytest.mark.parametrize(
    ("status", "failure", "not_sent"),
    [
        (400, PERMANENT, True),
        (401, PERMANENT, True),
        (402, PERMANENT, True),
        (403, REFUSED, True),
        (404, PERMANENT, True),
        (408, TRANSIENT, False),
        (409, PERMANENT, True),
        (410, PERMANENT, True),
        (412, PERMANENT, True),
        (413, PERMANENT, True),
        (422, PERMANENT, True),
        (423, TRANSIENT, True),
        (425, TRANSIENT, True),
        (429, OVERLOADED, True),
        (500, TRANSIENT, False),
        (501, PERMANENT, True),
        (502, TRANSIENT, False),
        (503, OVERLOADED, False),
        (504, TRANSIENT, False),
        (520, TRANSIENT, False),
        (529, OVERLOADED, False),
    ],
)
def test_statuses(
    client: Client, server: BadServer, status: int, failure: FailureClass, not_sent: bool
) -> None:
    server.answers(status)
    assert verdict(client, server.url) == (failure, not_sent)


@every_client_with_status
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "7", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": formatdate(2_000_000_030, usegmt=True)}, 30),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2000000012"}, 12),  # as GitHub
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "9"}, 9),  # as the IETF's draft
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),  # as OpenAI
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_when_to_come_again(
    client: Client, server: BadServer, headers: dict[str, str], seconds: float | None
) -> None:
    server.answers(429, headers=headers)
    classifier = Classifier(clock=FixedClock())
    error = error_of(client, server.url)
    # The server's own date goes before ours: without it ours is what the reset is counted from.
    response: Any = getattr(error, "response", error)
    del response.headers["Date"]
    assert classifier.diagnose(error).retry_after == seconds


class FixedClock(SkippingClock):
    def micros(self) -> int:
        return 2_000_000_000_000_000


def test_a_date_is_counted_from_the_date_of_the_answer(server: BadServer) -> None:
    """A clock that is wrong by an hour here makes nobody wait for one."""
    server.answers(503, headers={"Retry-After": "Sat, 05 Jun 2100 10:00:30 GMT"})
    error = error_of(by_httpx, server.url)
    assert isinstance(error, httpx.HTTPStatusError)
    error.response.headers["Date"] = "Sat, 05 Jun 2100 10:00:00 GMT"
    assert diagnose(error).retry_after == 30


def test_403_of_a_limit_that_is_used_up(server: BadServer) -> None:
    server.answers(403, headers={"X-RateLimit-Remaining": "0", "Retry-After": "60"})
    found = diagnose(error_of(by_httpx, server.url))
    assert (found.failure, found.retry_after) == (OVERLOADED, 60)


@pytest.mark.parametrize(
    ("body", "failure", "not_sent"),
    [
        ('{"error": "the name is taken"}', PERMANENT, True),
        ('{"error": {"code": "lock_timeout"}}', TRANSIENT, True),
        # Stripe: the request that came before with this key has not ended, so nobody knows what it did.
        ('{"error": {"type": "idempotency_error"}}', TRANSIENT, False),
    ],
)
def test_conflicts(server: BadServer, body: str, failure: FailureClass, not_sent: bool) -> None:
    server.answers(409, body)
    assert verdict(by_httpx, server.url) == (failure, not_sent)


class TestRequestsThatWereTriedBefore:
    """urllib3's error tells of the last attempt alone."""

    def put(self, url: str, retries: int) -> tuple[FailureClass, bool]:
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
            return verdict(lambda u: session.put(u, timeout=PATIENCE), url)

    def test_one_attempt_that_was_refused_proves_that_nothing_was_sent(self) -> None:
        with nobody() as url:
            assert self.put(url, 0) == (TRANSIENT, True)

    def test_the_last_of_several_does_not(self) -> None:
        with nobody() as url:
            assert self.put(url, 1) == (TRANSIENT, False)


@pytest.mark.parametrize("client", [by_httpx, by_httpx2, by_requests])
def test_an_address_that_is_none(client: Client) -> None:
    assert verdict(client, "gopher://127.0.0.1/") == (PERMANENT, True)


def test_a_certificate_that_is_not_trusted() -> None:
    import ssl

    def fail() -> None:
        try:
            raise ssl.SSLCertVerificationError("self-signed certificate")
        except ssl.SSLError as error:
            raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]") from error

    assert verdict(lambda _: fail(), "") == (PERMANENT, True)


def test_a_body_that_was_not_read_is_not_read_for_this(server: BadServer) -> None:
    server.answers(409, "lock")
    with httpx.Client() as client, client.stream("POST", server.url) as answer:
        try:
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            assert diagnose(error).failure is PERMANENT
        else:
            raise AssertionError("it raised nothing")
