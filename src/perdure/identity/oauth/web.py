"""Requests to providers: no redirects, bounded in time and size, and nothing of them in an error.

An error of the HTTP library carries its request, with the client's secret and the user's token in it. So none of them
leaves here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pydantic_core

from ...core.clock import Clock, SystemClock
from ...core.errors import ProviderUnavailable

__all__ = ["Reply", "Web"]

SECONDS = 10.0
"""For one request, all of it. The lock on a grant is held longer."""
MOST_BYTES = 1 << 20
BUSY = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider said; `told` is empty where it said nothing that can be read."""

    status: int
    told: Mapping[str, Any]
    challenge: str = ""
    """the header `WWW-Authenticate`"""


class Web:
    """The way to providers."""

    def __init__(self, clock: Clock | None = None, *, seconds: float = SECONDS) -> None:
        self._clock = clock or SystemClock()
        self._seconds = seconds
        self._context: ssl.SSLContext | None = None

    async def get(self, url: str) -> Reply:
        """An object from there. Raises `ProviderUnavailable`."""
        return await self._ask("GET", url, {}, None)

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Send a form. Raises `ProviderUnavailable`."""
        sent = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", url, sent, urlencode(form).encode())

    async def post_json(self, url: str, told: Mapping[str, Any]) -> Reply:
        """Send an object. Raises `ProviderUnavailable`."""
        sent = {"Content-Type": "application/json"}
        return await self._ask("POST", url, sent, pydantic_core.to_json(told))

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        host = urlsplit(url).netloc
        try:
            async with asyncio.timeout(self._seconds), self._client() as client:
                accepting = {"Accept": "application/json", **headers}  # GitHub answers in a form without it
                async with client.stream(method, url, headers=accepting, content=body) as answer:
                    data = b""
                    async for part in answer.aiter_bytes():
                        data += part
                        if len(data) > MOST_BYTES:
                            raise ProviderUnavailable(
                                f"`{host}` answers with more than {MOST_BYTES} bytes; is its address right?"
                            )
        except TimeoutError:
            raise ProviderUnavailable(f"`{host}` did not answer within {self._seconds:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ProviderUnavailable(f"`{host}` cannot be reached: {type(error).__name__}") from None
        if answer.status_code >= 500 or answer.status_code in BUSY:
            raise ProviderUnavailable(
                f"`{host}` has no time: status {answer.status_code}",
                retry_after=self._retry_after(answer.headers.get("Retry-After", "")),
            )
        told = _read(answer.headers.get("Content-Type", ""), data)
        return Reply(answer.status_code, told, answer.headers.get("WWW-Authenticate", "")[:4000])

    def _client(self) -> httpx2.AsyncClient:
        """One for each request, so that it belongs to no loop; what is slow to make is kept."""
        if self._context is None:
            self._context = httpx2.create_ssl_context()
        return httpx2.AsyncClient(verify=self._context, timeout=self._seconds, follow_redirects=False)

    def _retry_after(self, said: str) -> float | None:
        if said.isdigit():
            return float(said)
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - self._clock.micros() / 1e6)
        except ValueError:
            return None


def _read(kind: str, data: bytes) -> Mapping[str, Any]:
    """JSON; or a form, which some providers answer with whatever they are asked for."""
    if "x-www-form-urlencoded" in kind:
        return dict(parse_qsl(data.decode("utf-8", "replace")))
    try:
        found: Any = pydantic_core.from_json(data)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
