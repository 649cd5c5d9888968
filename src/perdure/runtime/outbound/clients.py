"""`Http` and `SyncHttp`: the clients of a tool, as httpx2 has them, behind the gate.

    tool ──► `send`: the secret is put on ──► transport: host listed? ──► addresses public? ──► connect to one of those
               ▲                                                                                  │
               └── a redirect: all of it anew; to another place without the secret ◄──────────────┘

Certificates are checked against the name, though the connection goes to an address. Nothing of the environment is used:
no proxy, no netrc.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from typing import Any, cast

try:
    import httpx2
except ModuleNotFoundError as error:
    if error.name != "httpx2":
        raise
    from ...core.errors import ConfigError

    raise ConfigError('`Http` and `SyncHttp` need httpx2: `pip install "perdure[http]"`') from None

from ...core.errors import ResponseTooLarge
from .addresses import Address, Outbound
from .gate import MOST_BYTES, MOST_REDIRECTS, Gate

__all__ = ["Http", "SyncHttp"]

SECONDS = 30.0


@functools.cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()  # 10 ms and more: once a process


class _Bounded(httpx2.Response):
    """A response that ends with an error where it gets too large, as it comes and unpacked."""

    most = MOST_BYTES

    def _counted(self, chunk: bytes, size: int) -> int:
        size += len(chunk)
        if size > self.most:
            raise ResponseTooLarge(
                f"the answer of `{self.url.host}` has more than {self.most:,} bytes; ask for less, or in pages"
            )
        return size

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes]:
        size = 0
        async for chunk in super().aiter_bytes(chunk_size):
            size = self._counted(chunk, size)
            yield chunk

    async def aiter_raw(self, chunk_size: int | None = None) -> AsyncGenerator[bytes]:
        size = 0
        async for chunk in super().aiter_raw(chunk_size):
            size = self._counted(chunk, size)
            yield chunk

    def iter_bytes(self, chunk_size: int | None = None) -> Generator[bytes]:
        size = 0
        for chunk in super().iter_bytes(chunk_size):
            size = self._counted(chunk, size)
            yield chunk

    def iter_raw(self, chunk_size: int | None = None) -> Generator[bytes]:
        size = 0
        for chunk in super().iter_raw(chunk_size):
            size = self._counted(chunk, size)
            yield chunk


class _Way:
    """What both transports do with a request."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def _checked(self, url: httpx2.URL) -> tuple[str, int]:
        return self._gate.check(url.scheme, url.raw_host.decode("ascii"), url.port, userinfo=url.userinfo)

    def _to(self, request: httpx2.Request, name: str, address: Address) -> httpx2.Request:
        """The request, to an address: its `Host` stays, and the certificate must be the name's."""
        self._gate.sent = True
        return httpx2.Request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": name},
        )

    @staticmethod
    def _bounded(response: httpx2.Response) -> httpx2.Response:
        return _Bounded(
            response.status_code,
            headers=response.headers,
            stream=response.stream,
            extensions=response.extensions,
        )


class _AsyncWay(_Way, httpx2.AsyncBaseTransport):
    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        # One for each name: a connection that was made for one name is never used for another at the same address.
        self._inner: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        name, port = self._checked(request.url)
        try:
            addresses = await asyncio.to_thread(self._gate.reachable, name, port)
        except OSError as error:
            raise httpx2.ConnectError(f"`{name}` has no address: {error}", request=request) from error
        if name not in self._inner:
            self._inner[name] = httpx2.AsyncHTTPTransport(verify=_certificates(), trust_env=False)
        for left, address in _counted_down(addresses):
            try:
                return self._bounded(
                    await self._inner[name].handle_async_request(self._to(request, name, address))
                )
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if not left:
                    raise
        raise httpx2.ConnectError(f"`{name}` has no address", request=request)

    async def aclose(self) -> None:
        for transport in self._inner.values():
            await transport.aclose()


class _SyncWay(_Way, httpx2.BaseTransport):
    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self._inner: dict[str, httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        name, port = self._checked(request.url)
        try:
            addresses = self._gate.reachable(name, port)
        except OSError as error:
            raise httpx2.ConnectError(f"`{name}` has no address: {error}", request=request) from error
        if name not in self._inner:
            self._inner[name] = httpx2.HTTPTransport(verify=_certificates(), trust_env=False)
        for left, address in _counted_down(addresses):
            try:
                return self._bounded(self._inner[name].handle_request(self._to(request, name, address)))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if not left:
                    raise
        raise httpx2.ConnectError(f"`{name}` has no address", request=request)

    def close(self) -> None:
        for transport in self._inner.values():
            transport.close()


def _counted_down(addresses: Sequence[Address]) -> Iterator[tuple[int, Address]]:
    return ((len(addresses) - i - 1, address) for i, address in enumerate(addresses))


class _Leg:
    """The requests of one call of a client: the first, and those that redirects lead to."""

    def __init__(self, gate: Gate, request: httpx2.Request) -> None:
        self._gate = gate
        self._origin = _origin(request.url)
        self.request = request
        self.history: list[httpx2.Response] = []

    def carry(self) -> None:
        """Put the secret on, or off."""
        request, gate = self.request, self._gate
        url = request.url
        if self.history and _origin(url) != self._origin:
            for name in [name for name in request.headers if gate.is_secret(name)]:
                del request.headers[name]
            return
        name, port = gate.check(url.scheme, url.raw_host.decode("ascii"), url.port, userinfo=url.userinfo)
        body = request.content if gate.needs_body else b""
        carried = gate.carried(
            request.method, str(url), scheme=url.scheme, name=name, port=port, query=url.query, body=body
        )
        request.headers.update(carried)

    def next(self, response: httpx2.Response, *, follow: bool) -> bool:
        """Whether there is another request to be made."""
        response.history = list(self.history)
        if not follow or response.next_request is None:
            return False
        if len(self.history) == MOST_REDIRECTS:
            raise httpx2.TooManyRedirects(
                f"`{self.request.url.host}` leads on and on: more than {MOST_REDIRECTS} redirects",
                request=self.request,
            )
        self.history.append(response)
        self.request = response.next_request
        return True


def _origin(url: httpx2.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host.lower(), url.port


def _gate(gate: Gate | None, hosts: Iterable[str] | str, allow_private: Iterable[str] | str) -> Gate:
    return gate or Gate(Outbound.of(hosts, private=allow_private))


class Http(httpx2.AsyncClient):
    """An `httpx2.AsyncClient` that a tool is handed: it reaches the tool's hosts, and no address that is not public.

    Annotate a parameter of an async tool with it, and say `@app.tool(hosts=["api.github.com"])`. Where the tool has
    `credential=`, or `audience=`, each request to the place that was meant carries it, and no redirect to another. For
    tests of a tool make one yourself: `Http(hosts=["http://127.0.0.1:8080"], allow_private=["127.0.0.0/8"])`.

    Raises `HostRefused`, `ResponseTooLarge` (10 MiB), and httpx2's own errors. At most five redirects are followed.
    """

    perdure_handed = "http"

    def __init__(
        self,
        *,
        hosts: Iterable[str] | str = (),
        allow_private: Iterable[str] | str = (),
        gate: Gate | None = None,
        follow_redirects: bool = True,
        timeout: float = SECONDS,
        base_url: str = "",
    ) -> None:
        self._gate = _gate(gate, hosts, allow_private)
        super().__init__(
            transport=_AsyncWay(self._gate),
            trust_env=False,
            follow_redirects=follow_redirects,
            timeout=timeout,
            base_url=base_url,
        )

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: Any = httpx2.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        """Send a request, and follow where it leads."""
        follow = self.follow_redirects if follow_redirects is httpx2.USE_CLIENT_DEFAULT else follow_redirects
        leg = _Leg(self._gate, request)
        while True:
            if self._gate.needs_body:
                await leg.request.aread()
            leg.carry()
            response = await super().send(leg.request, stream=stream, auth=auth, follow_redirects=False)
            try:
                if not leg.next(response, follow=cast("bool", follow)):
                    return response
            except httpx2.TooManyRedirects:
                await response.aclose()
                raise
            await response.aclose()


class SyncHttp(httpx2.Client):
    """As `Http`, an `httpx2.Client` for tools that are not async."""

    perdure_handed = "sync_http"

    def __init__(
        self,
        *,
        hosts: Iterable[str] | str = (),
        allow_private: Iterable[str] | str = (),
        gate: Gate | None = None,
        follow_redirects: bool = True,
        timeout: float = SECONDS,
        base_url: str = "",
    ) -> None:
        self._gate = _gate(gate, hosts, allow_private)
        super().__init__(
            transport=_SyncWay(self._gate),
            trust_env=False,
            follow_redirects=follow_redirects,
            timeout=timeout,
            base_url=base_url,
        )

    def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: Any = httpx2.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        """Send a request, and follow where it leads."""
        follow = self.follow_redirects if follow_redirects is httpx2.USE_CLIENT_DEFAULT else follow_redirects
        leg = _Leg(self._gate, request)
        while True:
            if self._gate.needs_body:
                leg.request.read()
            leg.carry()
            response = super().send(leg.request, stream=stream, auth=auth, follow_redirects=False)
            try:
                if not leg.next(response, follow=cast("bool", follow)):
                    return response
            except httpx2.TooManyRedirects:
                response.close()
                raise
            response.close()
