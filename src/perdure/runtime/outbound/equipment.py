"""What one call of a tool is handed for its way out: clients of its own, which are closed when the call is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ...core.credentials import Credential
from ...core.errors import ConfigError
from ..boundary.call import Call
from ..boundary.tool import Tool
from .addresses import Host, Outbound
from .clients import Http, SyncHttp
from .gate import Gate, Headers

__all__ = ["equip"]


def equip(
    call: Call, tool: Tool[..., Any], clients: Mapping[str, str], credential: Credential | None
) -> tuple[dict[str, Any], Callable[[], Awaitable[None]]]:
    """Clients by the parameter that takes them (of kind `http` or `sync_http`), and what closes them."""
    outbound = tool.terms.outbound
    assert outbound is not None
    headers: Headers | None = None
    if outbound.audience is not None:
        boundary = call.recorder.boundary
        headers = boundary.minting(tool.name).headers(
            call,
            agent=boundary.agent,
            version=boundary.version,
            tool=tool.name,
            audience=outbound.audience,
            scopes=outbound.scopes,
        )
    elif credential is not None:
        headers = _bearing(credential)

    def gate() -> Gate:
        return Gate(
            outbound,
            tool=tool.name,
            headers=headers,
            needs_body=outbound.audience is not None,
            only=_meant(outbound),
        )

    made: dict[str, Any] = {
        name: Http(gate=gate()) if kind == "http" else SyncHttp(gate=gate()) for name, kind in clients.items()
    }

    for client in made.values():
        client.headers.update(call.recorder.boundary.traced(call.key).headers())

    async def put_down() -> None:
        for client in made.values():
            if isinstance(client, Http):
                await client.aclose()
            elif isinstance(client, SyncHttp):
                client.close()

    return made, put_down


def _bearing(credential: Credential) -> Headers:
    name, value = credential.header()

    def of(method: str, url: str, query: bytes, body: bytes) -> Mapping[str, str]:
        return {name: value}

    return of


def _meant(outbound: Outbound) -> Host | None:
    """The place that a token is for, where its audience names one of the hosts: it goes nowhere else then."""
    if outbound.audience is None or "://" not in outbound.audience:
        return None
    try:
        parts = urlsplit(outbound.audience)
        host = Host.of(f"{parts.scheme}://{parts.netloc}")
    except (ConfigError, ValueError):
        return None
    covered = any(one.covers(host.scheme, host.name, host.port) for one in outbound.hosts)
    return host if covered else None
