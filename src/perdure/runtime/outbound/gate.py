"""What stands between a tool's client and the net: hosts, addresses, and which request carries the secret.

Knows nothing of HTTP libraries, so that the async and the sync client are both thin.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from ...core.errors import HostRefused
from ...core.failures import Diagnosis, FailureClass
from ..boundary.diagnosis import remember
from .addresses import Address, Host, Outbound, reason_against

__all__ = ["MOST_BYTES", "MOST_REDIRECTS", "Gate", "Headers", "Resolve", "resolve"]

MOST_BYTES = 10 << 20
"""Of a response, unpacked."""
MOST_REDIRECTS = 5
MOST_ADDRESSES = 4
"""Of a name, that are tried one after the other."""

Resolve: TypeAlias = Callable[[str, int], "list[str]"]
Headers: TypeAlias = Callable[[str, str, bytes, bytes], Mapping[str, str]]
"""The headers that carry the secret, of a request: its method, URL, query and body."""

_TAKEN_OFF = ("authorization", "dpop", "cookie", "proxy-authorization")
"""Headers that do not go to another place than they were made for."""


def resolve(name: str, port: int) -> list[str]:
    """All addresses of a name, as the system knows them. Raises `OSError`."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class Gate:
    """Of one client."""

    outbound: Outbound
    tool: str = "http"
    headers: Headers | None = field(default=None, repr=False)
    """what carries the secret; None: there is none"""
    needs_body: bool = False
    """whether that depends on the body"""
    only: Host | None = None
    """the secret goes there alone; None: to every host of the allow-list"""
    resolver: Resolve = resolve
    sent: bool = False
    """whether anything has left"""

    def check(self, scheme: str, name: str, port: int | None, *, userinfo: bytes = b"") -> tuple[str, int]:
        """The name and port to connect to, where the tool may reach them. Raises `HostRefused`."""
        name = name.lower()
        port = port or {"http": 80, "https": 443}.get(scheme, 0)
        if userinfo:
            raise self._refused("addresses with a password in them are not used")
        if not any(host.covers(scheme, name, port) for host in self.outbound.hosts):
            told = f"{scheme}://{name}" + ("" if port in (80, 443) else f":{port}")
            raise self._refused(f"`{told[:200]}` is none of the hosts that it may reach")
        return name, port

    def reachable(self, name: str, port: int) -> list[Address]:
        """The addresses of a name that has been checked. Blocks. Raises `HostRefused`, and `OSError`."""
        try:
            found = [ipaddress.ip_address(name.strip("[]"))]
        except ValueError:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in self.resolver(name, port)]
        allowed = self.outbound.networks()
        for address in found:
            if why := reason_against(address, allowed):
                raise self._refused(
                    f"`{name[:200]}` is at {address}, which is not reached from here: {why}; `allow_private=` names "
                    "networks that may be"
                )
        return found[:MOST_ADDRESSES]

    def carried(
        self, method: str, url: str, *, scheme: str, name: str, port: int, query: bytes, body: bytes
    ) -> Mapping[str, str]:
        """The headers with the secret, where the request may carry it."""
        if self.headers is None or (self.only is not None and not self.only.covers(scheme, name, port)):
            return {}
        return self.headers(method, url, query, body)

    @staticmethod
    def is_secret(header: str) -> bool:
        """Whether a header stays behind where a redirect leads to another place."""
        return header.lower() in _TAKEN_OFF

    def _refused(self, why: str) -> HostRefused:
        error = HostRefused(f"`{self.tool}` did not send its request: {why}")
        remember(
            cast("BaseException", error),
            Diagnosis(failure=FailureClass.REFUSED, not_sent=not self.sent, why=str(error)),
        )
        return error
