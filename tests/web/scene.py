"""Pages of an app in this process, asked over ASGI: no server, no port."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape

import httpx
from starlette.requests import Request

from perdure import App
from perdure.access.callers import Caller, Role
from perdure.core.errors import Unauthenticated
from perdure.core.principal import Principal
from perdure.web import pages

ALL = frozenset(Role)


@dataclass
class TestGate:
    """Lets in whom the test says."""

    __test__ = False

    subject: str | None = "user:dana"
    tenant: str = "default"
    roles: frozenset[Role] = field(default=ALL)

    async def caller_of(self, request: Request) -> Caller:
        if self.subject is None:
            raise Unauthenticated("nobody has said who they are")
        return Caller(
            principal=Principal(subject=self.subject, issuer="os"),
            tenant=self.tenant,
            roles=self.roles,
            via="session",
        )


@dataclass
class Reader:
    """Somebody at a browser without scripts."""

    client: httpx.AsyncClient
    gate: TestGate

    async def get(self, path: str, *, status: int = 200, **headers: str) -> str:
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.text

    async def part(self, path: str, *, target: str = "") -> str:
        """As htmx asks for it."""
        return await self.get(path, **{"HX-Request": "true", "HX-Target": target})

    async def token(self, path: str = "/runs") -> str:
        found = re.search(r'name="perdure-csrf" content="(\w+)"', await self.get(path))
        assert found is not None
        return found[1]

    async def post(self, path: str, *, status: int = 303, **form: str | list[str]) -> httpx.Response:
        """A form of ours, with its token."""
        form.setdefault("csrf", await self.token())
        answer = await self.client.post(path, data=form)
        assert answer.status_code == status, answer.text
        return answer


@asynccontextmanager
async def reading(app: App, gate: TestGate | None = None) -> AsyncIterator[Reader]:
    gate = gate or TestGate()
    transport = httpx.ASGITransport(app=pages(app, gate))
    async with httpx.AsyncClient(transport=transport, base_url="http://perdure.test") as client:
        yield Reader(client, gate)


def text_of(html: str) -> str:
    """What a page says, without its elements."""
    body = re.sub(r"<(script|style|template)\b.*?</\1>", " ", html, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
