"""Which hosts a tool may reach, and which addresses nobody reaches by a name that somebody else has chosen.

A name is resolved here, every address of it is looked at, and the connection goes to one of those. Nothing is resolved
a second time, so a name that means another address a moment later (rebinding) is of no use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from ...core.errors import ConfigError

__all__ = ["Address", "Host", "Outbound", "Reachable", "network", "reason_against"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"https": 443, "http": 80}

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google Cloud, Azure, and most others
        "169.254.170.2",  # AWS, of containers
        "fd00:ec2::254",
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud
        "168.63.129.16",  # Azure's own server, which has a public address
    )
)

_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is public of IPv6."""

_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""RFC 6052 and 8215: the last four bytes are an IPv4 address."""


@dataclass(frozen=True, slots=True)
class Host:
    """An entry of a tool's allow-list."""

    name: str
    """in lower case; `*.example.com` is every name below, and not `example.com` itself"""
    scheme: str = "https"
    port: int = 443

    @classmethod
    def of(cls, text: str) -> Host:
        """From `api.github.com`, `*.example.com:8443` or `http://127.0.0.1:8080`. Raises `ConfigError`."""
        parts = urlsplit(text if "://" in text else f"https://{text}")
        try:
            name, port = parts.hostname or "", parts.port
            name = name.encode("idna").decode() if not name.startswith("*.") else name
        except (ValueError, UnicodeError):
            name, port = "", None
        rest = name.removeprefix("*.")
        if (
            parts.scheme not in _PORTS
            or not rest
            or "*" in rest
            or (name.startswith("*.") and "." not in rest)
            or parts.username is not None
            or parts.path not in ("", "/")
            or parts.query
            or parts.fragment
        ):
            raise ConfigError(
                f"hosts: `{text[:100]}` is no host: write `api.example.com`, `*.example.com`, or with scheme and port "
                "`http://10.0.0.7:8080`"
            )
        return cls(name.lower(), parts.scheme, port or _PORTS[parts.scheme])

    def covers(self, scheme: str, name: str, port: int) -> bool:
        """Whether that is meant."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        return (
            name.endswith(self.name[1:]) and len(name) > len(self.name[1:])
            if self.name[0] == "*"
            else name == self.name
        )


@dataclass(frozen=True, slots=True)
class Outbound:
    """What the clients of a tool may reach, and by which token."""

    hosts: tuple[Host, ...]
    private: tuple[str, ...] = ()
    """networks (CIDR) whose addresses may be reached though they are not public"""
    audience: str | None = None
    """for whom a token is made for each request; None: none is"""
    scopes: tuple[str, ...] = ()
    """what such a token allows"""

    @classmethod
    def of(
        cls,
        hosts: Iterable[str] | str,
        *,
        private: Iterable[str] | str = (),
        audience: str | None = None,
        scopes: Iterable[str] = (),
    ) -> Outbound:
        """As people write it. Raises `ConfigError`."""
        listed = [hosts] if isinstance(hosts, str) else list(hosts)
        nets = [private] if isinstance(private, str) else list(private)
        for text in nets:
            network(text)
        return cls(tuple(Host.of(text) for text in listed), tuple(nets), audience, tuple(scopes))

    def networks(self) -> tuple[Network, ...]:
        """Those of `private`."""
        return tuple(network(text) for text in self.private)


Reachable: TypeAlias = Sequence[Address]


def network(text: str) -> Network:
    """A network in CIDR notation. Raises `ConfigError`."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"allow_private: `{text[:100]}` is no network: write it like `10.0.0.0/8`"
        ) from error


def reason_against(address: Address, allowed: Sequence[Network] = ()) -> str:
    """Why nobody reaches that address; empty where anybody may, or it is among the `allowed` networks."""
    inner = _inner(address)
    for one in (address, inner):
        if any(one.version == net.version and one in net for net in allowed):
            return ""
    for one in (address, inner):
        if one in _METADATA:
            return "it is where a cloud tells its machines their secrets"
        for holds, what in (
            (one.is_unspecified, "unspecified"),
            (one.is_loopback, "this machine itself"),
            (one.is_link_local, "link-local"),
            (one.is_multicast, "multicast"),
            (one.is_private, "private"),
            (one.is_reserved and one is inner, "reserved"),
            (
                one is inner and (not one.is_global or (one.version == 6 and one not in _UNICAST)),
                "not public",
            ),
        ):
            if holds:
                return f"it is {what}"
    return ""


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does: mapped, 6to4, Teredo, NAT64, or compatible."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in net for net in _NAT64) or (0xFFFF < int(address) < 1 << 32):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
