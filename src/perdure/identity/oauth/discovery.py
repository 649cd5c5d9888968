"""How a provider is found that tells of itself: what guards an API (RFC 9728), where it is asked for what (RFC 8414).

    API ─► 401, `resource_metadata` ─► its metadata ─► `authorization_servers` ─► their metadata ─► Endpoints
     └───────► /.well-known/oauth-protected-resource ───┘

What is found is believed only where it says that it is what was asked for: an API that calls itself by another name,
or a server by another issuer, could have tokens sent where they do not belong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from ...core.errors import ProviderError
from ...core.provider_settings import is_below, is_secure
from .web import Reply, Web

__all__ = ["TELLS_ITSELF", "Endpoints", "Guarded", "discover", "endpoints_in", "guarded"]

TELLS_ITSELF = (
    "authorization_endpoint",
    "token_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
)
_METADATA = re.compile(r'resource_metadata=(?:"([^"]+)"|([^\s,]+))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a provider is asked for what."""

    issuer: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    registration_endpoint: str | None = None
    """where clients register themselves (RFC 7591)"""
    reads_metadata: bool = False
    """it takes the address of a client's metadata for its id"""
    says_who: bool = False
    """it names itself when the user comes back (RFC 9207)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What guards an API."""

    resource: str
    """for whom tokens are to be (RFC 8707)"""
    issuer: str
    scopes: tuple[str, ...] = ()
    """what there is to ask for"""


async def guarded(web: Web, url: str) -> Guarded:
    """What guards the API at `url`, as it says itself. Raises `ProviderError`, `ProviderUnavailable`."""
    parts = urlsplit(url)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = [
        f"{root}/.well-known/oauth-protected-resource{path}",
        f"{root}/.well-known/oauth-protected-resource",
    ]
    said = _named(await web.get(url))
    if said is not None and is_below(said, root):  # no other host says what guards this one
        places.insert(0, said)
    for place in dict.fromkeys(places):
        reply = await web.get(place)
        told, servers = reply.told, reply.told.get("authorization_servers")
        if reply.status != 200 or not isinstance(servers, list) or not servers:
            continue
        resource, issuer = told.get("resource"), cast("list[Any]", servers)[0]
        if not isinstance(resource, str) or not is_below(url, resource):  # RFC 9728, 3.3
            raise ProviderError(f"`{place}` tells of `{str(resource)[:200]}`, and not of `{url}`")
        if not isinstance(issuer, str) or not is_secure(issuer):
            raise ProviderError(
                f"`{place}` names `{str(issuer)[:200]}` as its OAuth server: that is no https address"
            )
        scopes = told.get("scopes_supported")
        found = cast("list[Any]", scopes) if isinstance(scopes, list) else []
        return Guarded(resource=resource, issuer=issuer, scopes=tuple(s for s in found if isinstance(s, str)))
    raise ProviderError(f"`{url}` does not say which OAuth server guards it (RFC 9728): name the `issuer`")


def _named(reply: Reply) -> str | None:
    match = _METADATA.search(reply.challenge) if reply.status == 401 else None
    return None if match is None else match.group(1) or match.group(2)


async def discover(web: Web, issuer: str) -> Mapping[str, Any] | None:
    """What an OAuth server tells of itself; None: nothing. Raises `ProviderError` where it says that it is another."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    root = f"{parts.scheme}://{parts.netloc}"
    for url in dict.fromkeys(
        (  # RFC 8414, 3.1 and 5: between host and path; OpenID providers have it behind both
            f"{root}/.well-known/oauth-authorization-server{path}",
            f"{root}/.well-known/openid-configuration{path}",
            f"{root}{path}/.well-known/openid-configuration",
        )
    ):
        reply = await web.get(url)
        if reply.status == 200 and reply.told:
            if reply.told.get("issuer") != issuer:  # RFC 8414, 3.3: or another could speak for it
                raise ProviderError(
                    f"`{url}` says that it is `{str(reply.told.get('issuer'))[:200]}`, and not `{issuer}`"
                )
            return reply.told
    return None


def endpoints_in(
    name: str, issuer: str, told: Mapping[str, Any], said: Mapping[str, str | None]
) -> Endpoints:
    """Where it is asked for what; what the settings have `said` goes before. Raises `ProviderError`."""
    found = {place: url for place in TELLS_ITSELF if isinstance(url := told.get(place), str)}
    for place, url in found.items():
        if not is_secure(url):
            raise ProviderError(f"provider `{name}` says that its {place} is `{url[:200]}`: not by https")
    return Endpoints(
        issuer=issuer,
        says_who=told.get("authorization_response_iss_parameter_supported") is True,
        reads_metadata=told.get("client_id_metadata_document_supported") is True,
        **{**found, **{place: url for place, url in said.items() if url is not None}},
    )
