"""What a worker has of each OpenAPI document: had from its file or its address, and anew where it may be another."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..context import Definition
from ..context.openapi import Document
from ..context.openapi.document import MOST_BYTES, table
from ..core.errors import ConfigError, NotDone
from ..core.openapi_settings import OpenApiSettings
from ..core.provider_settings import is_secure

__all__ = ["Copy", "looked_at", "origin", "secrets_of", "server_of"]


@dataclass(slots=True)
class Copy:
    """One document, as it was when it was last looked at."""

    document: Document
    mark: object = None
    """by which another is known"""
    at: float = 0.0
    """when it was last had from its address, on the monotonic clock"""
    checked: bool = False
    made: dict[str, Definition | None] = field(default_factory=dict[str, "Definition | None"])
    """single tools that were looked at, by name"""


async def looked_at(source: str, settings: OpenApiSettings, had: Copy | None, *, fresh: bool) -> Copy:
    """The document as it is; one at an address, as it was a little while ago, unless it must be `fresh`.

    Raises `NotDone` where it is not to be had, `ConfigError` where it cannot be used.
    """
    if "://" not in settings.document:
        mark: object = await asyncio.to_thread(_mark, source, settings.document)
        if had is not None and had.mark == mark:
            return had
        data = await asyncio.to_thread(_bytes, source, settings.document)
        return Copy(await asyncio.to_thread(Document, source, data), mark)
    if had is not None and not fresh and time.monotonic() - had.at < settings.look_again.total_seconds():
        return had
    data = await _fetched(source, settings)
    if had is None or had.mark != data:
        had = Copy(await asyncio.to_thread(Document, source, data), data)
    had.at = time.monotonic()
    return had


async def _fetched(source: str, settings: OpenApiSettings) -> bytes:
    import httpx2

    from ..runtime.outbound.clients import Http

    # Without a user's credential: a document is the same for everybody. The secrets of the settings go along only
    # where calls go, too.
    place = origin(settings.document)
    own = settings.base_url is not None and origin(settings.base_url) == place
    headers = secrets_of(source, settings) if own else {}
    try:
        async with Http(hosts=[place], allow_private=settings.allow_private) as http:
            answer = await http.get(settings.document, headers=headers)
            answer.raise_for_status()
            return answer.content
    except httpx2.HTTPError as error:
        raise NotDone(
            f"OpenAPI document `{source}` cannot be had: {type(error).__qualname__}: {str(error)[:300]}"
        ) from error


def _mark(source: str, path: str) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise NotDone(f"OpenAPI document `{source}`: `{path}` cannot be read: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _bytes(source: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise NotDone(f"OpenAPI document `{source}`: `{path}` cannot be read: {error.strerror}") from error


def origin(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def server_of(source: str, document: Document) -> str:
    """The first server that a document names. Raises `ConfigError` where that is no address as it stands."""
    servers: Any = document.root.get("servers")
    first: Any = table(servers[0]).get("url") if isinstance(servers, list) and servers else None
    url = first if isinstance(first, str) else ""
    parts = urlsplit(url)
    if not is_secure(url) or "{" in url or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            f"OpenAPI document `{source}` does not say where its operations are (its first server is "
            f"`{str(first)[:100]}`): say `base_url` in `[openapi.{source}]`"
        )
    return url.rstrip("/")


def secrets_of(source: str, settings: OpenApiSettings) -> dict[str, str]:
    """The headers of the settings, with what the environment says. Raises `ConfigError`."""
    found: dict[str, str] = {}
    for name, where in settings.headers.items():
        variable = where.partition(":")[2]
        if variable not in os.environ:
            raise ConfigError(
                f"OpenAPI document `{source}` takes the header `{name}` from the environment variable `{variable}`, "
                "which is not set: set it for the worker"
            )
        found[name] = os.environ[variable]
    return found
