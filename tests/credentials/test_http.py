"""`Http` and `SyncHttp`: where they go, where they do not, and which request carries the secret. Real servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from perdure import App, ConfigError, HostRefused, Http, ResponseTooLarge, Run, RunFailed, SyncHttp
from perdure.runtime.outbound import clients
from perdure.runtime.outbound.addresses import Outbound
from perdure.runtime.outbound.gate import Gate
from tests.credentials.echo import Echo, echoing
from tests.credentials.wallet import ANN, Wallet

SECRET = "ghp-canary-4711"
LOOPBACK = ["127.0.0.0/8"]

Get = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Echo]:
    with echoing() as made:
        yield made


def bearing(method: str, url: str, query: bytes, body: bytes) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRET}"}


def gate(*hosts: str, private: Any = LOOPBACK, **more: Any) -> Gate:
    return Gate(Outbound.of(hosts, private=private), headers=bearing, **more)


@pytest.fixture(params=["async", "sync"])
def get(request: pytest.FixtureRequest) -> Get:
    """A GET by either client."""

    async def by_async(gate: Gate, url: str, **more: Any) -> httpx2.Response:
        async with Http(gate=gate) as http:
            return await http.get(url, **more)

    async def by_sync(gate: Gate, url: str, **more: Any) -> httpx2.Response:
        def work() -> httpx2.Response:
            with SyncHttp(gate=gate) as http:
                return http.get(url, **more)

        return await asyncio.to_thread(work)

    return by_async if request.param == "async" else by_sync


async def test_a_request_to_a_listed_host_carries_the_secret(get: Get, echo: Echo) -> None:
    response = await get(gate(echo.url), f"{echo.url}/issues?state=open", headers={"authorization": "mine"})
    assert response.json()["path"] == "/issues?state=open"
    assert response.json()["headers"]["host"] == f"127.0.0.1:{echo.port}"
    assert echo.carried() == [f"Bearer {SECRET}"]


async def test_s31_a_host_that_is_not_listed(get: Get, echo: Echo, other: Echo) -> None:
    with pytest.raises(HostRefused, match="none of the hosts that it may reach"):
        await get(gate(echo.url), f"{other.url}/steal?data=secret")
    assert other.seen == []


async def test_s31_an_address_that_is_not_public(get: Get, echo: Echo) -> None:
    with pytest.raises(HostRefused, match="this machine itself"):
        await get(gate(echo.url, private=()), echo.url)
    assert echo.seen == []


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "127.1", "localhost"])
async def test_s31_other_spellings_of_this_machine(get: Get, echo: Echo, spelling: str) -> None:
    with pytest.raises((HostRefused, httpx2.ConnectError)):
        await get(gate(f"http://{spelling}:{echo.port}", private=()), f"http://{spelling}:{echo.port}")
    assert echo.seen == []


async def test_s31_the_connection_goes_to_the_address_that_was_looked_at(get: Get, echo: Echo) -> None:
    asked: list[str] = []

    def resolver(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    url = f"http://api.test:{echo.port}"  # the system knows no such name
    response = await get(gate(url, resolver=resolver), url)
    assert response.json()["headers"]["host"] == f"api.test:{echo.port}"
    assert asked == ["api.test"]


async def test_s31_a_name_that_means_another_address_a_moment_later(get: Get, echo: Echo) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    url = f"http://api.test:{echo.port}"
    one = gate(url, private=["127.0.0.1/32"], resolver=lambda name, port: answers.pop(0))
    await get(one, url)
    with pytest.raises(HostRefused, match=r"127\.0\.0\.2"):
        await get(one, url)
    assert len(echo.seen) == 1


async def test_s31_one_bad_address_among_good_ones(get: Get, echo: Echo) -> None:
    url = f"http://api.test:{echo.port}"
    with pytest.raises(HostRefused, match="secrets"):
        await get(gate(url, resolver=lambda name, port: ["127.0.0.1", "169.254.169.254"]), url)
    assert echo.seen == []


async def test_s31_a_redirect_to_a_host_that_is_not_listed(get: Get, echo: Echo, other: Echo) -> None:
    with pytest.raises(HostRefused, match="none of the hosts"):
        await get(gate(echo.url), f"{echo.url}/to?url={other.url}/steal")
    assert other.seen == []


async def test_s31_a_redirect_to_the_clouds_metadata(get: Get, echo: Echo) -> None:
    with pytest.raises(HostRefused, match="secrets"):
        await get(
            gate(echo.url, "http://169.254.169.254"),
            f"{echo.url}/to?url=http://169.254.169.254/latest/meta-data/",
        )


async def test_a_redirect_to_another_listed_host_goes_without_the_secret(
    get: Get, echo: Echo, other: Echo
) -> None:
    response = await get(
        gate(echo.url, other.url),
        f"{echo.url}/to?url={other.url}/here",
        headers={"dpop": "x", "cookie": "a=b"},
    )
    assert response.status_code == 200
    assert [one.status_code for one in response.history] == [307]
    assert echo.carried() == [f"Bearer {SECRET}"]
    assert [other.carried(name) for name in ("authorization", "dpop", "cookie")] == [[None], [None], [None]]


async def test_a_redirect_within_the_host_carries_it(get: Get, echo: Echo) -> None:
    await get(gate(echo.url), f"{echo.url}/to?url=/here")
    assert echo.carried() == [f"Bearer {SECRET}"] * 2


async def test_redirects_come_to_an_end(get: Get, echo: Echo) -> None:
    with pytest.raises(httpx2.TooManyRedirects):
        await get(gate(echo.url), f"{echo.url}/to?url=/to?url=/to?url=/to?url=/to?url=/to?url=/to")
    assert len(echo.seen) <= 6


async def test_redirects_that_nobody_wants_are_not_followed(get: Get, echo: Echo) -> None:
    response = await get(gate(echo.url), f"{echo.url}/to?url=/here", follow_redirects=False)
    assert response.status_code == 307
    assert len(echo.seen) == 1


@pytest.mark.parametrize("path", ["big", "bomb"])
async def test_an_answer_has_an_end(get: Get, echo: Echo, path: str) -> None:
    assert len((await get(gate(echo.url), f"{echo.url}/{path}?bytes=1000000")).content) == 1_000_000
    with pytest.raises(ResponseTooLarge, match="10,485,760 bytes"):
        await get(gate(echo.url), f"{echo.url}/{path}?bytes=20000000")


async def test_no_proxy_and_no_password_in_the_address(
    get: Get, echo: Echo, other: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", other.url)
    monkeypatch.setenv("ALL_PROXY", other.url)
    assert (await get(gate(echo.url), echo.url)).status_code == 200
    assert other.seen == []
    with pytest.raises(HostRefused, match="password"):
        await get(gate(echo.url), f"http://user:word@127.0.0.1:{echo.port}")


async def test_the_certificate_must_be_the_names(
    get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path, "api.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    clients._certificates.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    try:
        with echoing(context) as secure:
            for name, good in (("api.test", True), ("other.test", False)):
                url = f"https://{name}:{secure.port}"
                one = gate(url, resolver=lambda name, port: ["127.0.0.1"])
                if good:
                    assert (await get(one, url)).status_code == 200
                else:
                    with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
                        await get(one, url)
    finally:
        clients._certificates.cache_clear()


def certificate(folder: Path, name: str) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


# in a tool -----------------------------------------------------------------------------------------------------------


async def test_a_tool_is_handed_a_client_that_carries_the_users_credential(
    store_url: str, echo: Echo
) -> None:
    wallet = Wallet()
    app = wallet.app = App(store_url, credentials=wallet)
    wallet.keep(SECRET)
    used: list[Http] = []

    @app.tool(credential="github", hosts=[echo.url], allow_private=LOOPBACK)
    async def open_issue(title: str, http: Http) -> str:
        used.append(http)
        return (await http.post(f"{echo.url}/issues", json={"title": title})).json()["body"]

    @app.tool(effect="read", credential="github", hosts=[echo.url], allow_private=LOOPBACK)
    def issues(http: SyncHttp) -> int:
        return http.get(f"{echo.url}/issues").status_code

    @app.agent("desk")
    async def desk(run: Run) -> list[Any]:
        return [await run.call(open_issue, "broken"), await run.call(issues)]

    assert open_issue.schema()["properties"].keys() == {"title"}
    async with app:
        run = await app.start(desk, on_behalf_of=ANN)
        assert await run.result() == ['{"title":"broken"}', 200]
        assert all(SECRET.encode() not in e.payload for e in await run.entries())
    assert echo.carried() == [f"Bearer {SECRET}"] * 2
    assert used[0].is_closed


async def test_a_write_that_was_refused_its_way_is_not_in_doubt(echo: Echo, other: Echo) -> None:
    app = App("memory://")

    @app.tool(hosts=[echo.url], allow_private=LOOPBACK)
    async def pay(http: Http) -> int:
        return (await http.post(f"{other.url}/pay")).status_code

    @app.agent("desk")
    async def desk(run: Run) -> int:
        return await run.call(pay)

    async with app:
        run = await app.start(desk)
        with pytest.raises(RunFailed, match="HostRefused"):
            await run.result()


async def test_a_write_that_was_led_astray_is(echo: Echo, other: Echo) -> None:
    app = App("memory://")

    @app.tool(hosts=[echo.url], allow_private=LOOPBACK)
    async def pay(http: Http) -> int:
        return (await http.post(f"{echo.url}/to?url={other.url}/pay")).status_code

    @app.agent("desk")
    async def desk(run: Run) -> int:
        return await run.call(pay)

    async with app:
        run = await app.start(desk)
        from perdure.testing import until_waiting

        await until_waiting(app, run, "in_doubt")
    assert len(echo.seen) == 1


def test_what_does_not_fit_is_said_when_the_tool_is_made() -> None:
    app = App("memory://")

    async def takes(http: Http) -> None: ...
    async def takes_none() -> None: ...
    def takes_async(http: Http) -> None: ...

    with pytest.raises(ConfigError, match="does not say what it may reach"):
        app.tool(takes)
    with pytest.raises(ConfigError, match="takes no client"):
        app.tool(hosts=["example.com"])(takes_none)
    with pytest.raises(ConfigError, match="take a `SyncHttp`"):
        app.tool(hosts=["example.com"])(takes_async)
    with pytest.raises(ConfigError, match="leave one out"):
        app.tool(hosts=["example.com"], credential="github", audience="https://example.com")(takes)
    with pytest.raises(ConfigError, match=r"of no use without `hosts"):
        app.tool(audience="https://example.com")(takes)
