"""Requests to one server, and what is done about those that fail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from ...core.errors import ApiError, ConfigError
from ..models import Asked, Event
from ..problems import error_of, problem_in

__all__ = ["KEY_VARIABLE", "Link"]

T = TypeVar("T", bound=BaseModel)

KEY_VARIABLE = "PERDURE_API_KEY"
"""Where the key is looked for that is not given."""

TRIES = 4
"""Of a request that may be repeated; a stream is taken up again as often as it brings something in between."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
"""Seconds between two tries: doubled from the one to the other, unless the server says how many."""

QUIET_SECONDS = 45.0
"""A stream that says nothing for so long is dead: a server says that it lives every 15 seconds."""

_LATER = frozenset({429, 502, 503, 504})


class Link:
    """A server, and who asks it."""

    def __init__(
        self, url: str, *, key: str | None, timeout: float, transport: httpx2.AsyncBaseTransport | None
    ) -> None:
        token = key or os.environ.get(KEY_VARIABLE)
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"`{url}` is no address of a server: write it like `http://127.0.0.1:8321`")
        self._http = httpx2.AsyncClient(
            base_url=url.rstrip("/") + "/api/v1",
            headers={} if token is None else {"authorization": f"Bearer {token}"},
            timeout=timeout,
            transport=transport,
        )
        self._quiet = httpx2.Timeout(timeout, read=QUIET_SECONDS)

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Asked | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> T:
        """Send a request; what it was answered. Raises the error that the server raised, or `ApiError`.

        `repeatable`: whether it may be sent again where nobody knows what came of it; None: a GET may.
        """
        response = await self.send(
            method, path, query=query, body=body, headers=headers, repeatable=repeatable
        )
        return answer.model_validate_json(response.content)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Asked | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx2.Response:
        """Send a request; the answer, once it is a good one."""
        again = method == "GET" if repeatable is None else repeatable
        pause, left = FIRST_PAUSE, TRIES if again else 1
        while True:
            left -= 1
            try:
                response = await self._http.request(
                    method,
                    path,
                    params={name: value for name, value in (query or {}).items() if value is not None},
                    json=None if body is None else body.body(),
                    headers=headers,
                )
            except httpx2.TransportError as error:
                if not left:
                    raise ApiError(f"{self._http.base_url} does not answer: {error!r}") from error
            else:
                if response.is_success:
                    return response
                problem = problem_in(response.content, status=response.status_code)
                if not left or response.status_code not in _LATER:
                    raise error_of(problem)
                pause = problem.retry_after or pause
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2

    async def events(self, path: str, *, last: str = "") -> AsyncIterator[Event]:
        """A stream of events, taken up again behind the last that was heard, until the server says `end`."""
        pause, left = FIRST_PAUSE, TRIES
        while True:
            headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
            try:
                async with self._http.stream("GET", path, headers=headers, timeout=self._quiet) as response:
                    if not response.is_success:
                        problem = problem_in(await response.aread(), status=response.status_code)
                        if response.status_code not in _LATER or not left:
                            raise error_of(problem)
                        pause = problem.retry_after or pause
                        raise httpx2.ReadError(problem.title)
                    async for said in httpx2.EventSource(response):
                        pause, left = FIRST_PAUSE, TRIES
                        last = said.id or last
                        yield Event(name=said.event, id=said.id or None, data=said.data)
                        if said.event == "end":
                            return
            except httpx2.TransportError as error:
                if not left:
                    raise ApiError(f"{self._http.base_url} does not answer: {error!r}") from error
            left -= 1
            if left < 0:
                raise ApiError(f"{self._http.base_url} ends the stream `{path}` again and again")
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
