"""Key sets of issuers, fetched when they are needed and kept for a while."""

from __future__ import annotations

import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pydantic_core
from joserfc.errors import JoseError

from ..core.errors import ConfigError
from .verification import StaticKeys

__all__ = ["FetchedKeys", "fetch_json"]

log = logging.getLogger("perdure.identity")

KEEP_SECONDS = 300.0
AGAIN_SECONDS = 5.0
"""Between two fetches for a key that is not there: nobody can make this fetch with each call."""
MOST_BYTES = 1 << 20


class FetchedKeys:
    """The keys of trusted issuers, from their discovery documents. Thread-safe; `find` may block for a fetch."""

    def __init__(
        self,
        issuers: Sequence[str] | Mapping[str, str | None],
        *,
        fetch: Callable[[str], Mapping[str, Any]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`issuers`: their names; or the addresses of their key sets, by name (None: in its discovery document)."""
        self._sources: dict[str, str | None] = (
            dict(issuers) if isinstance(issuers, Mapping) else dict.fromkeys(issuers)
        )
        for issuer, source in self._sources.items():
            _check(source or issuer)
        self._fetch = fetch or fetch_json
        self._now = now
        self._kept: dict[str, StaticKeys] = {}
        self._fetched: dict[str, float] = {}
        self._lock = threading.Lock()

    def find(self, issuer: str, kid: str) -> Any | None:
        """The key of an issuer, or None: of one that is not trusted, or that has no such key."""
        if issuer not in self._sources:
            return None
        found, age = self._look(issuer, kid)
        if age > (KEEP_SECONDS if found is not None else AGAIN_SECONDS):
            with self._lock:
                found, age = self._look(issuer, kid)
                if age > (KEEP_SECONDS if found is not None else AGAIN_SECONDS):
                    self._refresh(issuer)
                    found, _ = self._look(issuer, kid)
        return found

    def _look(self, issuer: str, kid: str) -> tuple[Any | None, float]:
        kept = self._kept.get(issuer)
        age = self._now() - self._fetched.get(issuer, float("-inf"))
        return None if kept is None else kept.find(issuer, kid), age

    def _refresh(self, issuer: str) -> None:
        self._fetched[issuer] = self._now()
        try:
            source = self._sources[issuer] or self._discovered(issuer)
            self._kept[issuer] = StaticKeys({issuer: self._fetch(source)})
        except (OSError, ValueError, TypeError, KeyError, JoseError, ConfigError) as error:
            # The keys that are known go on to be good: an issuer that is away does not stop the calls.
            log.warning("the keys of `%s` cannot be fetched: %s", issuer, error)

    def _discovered(self, issuer: str) -> str:
        told = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer") != issuer:  # OpenID Connect Discovery, 4.3: or another could speak for it
            raise ValueError(f"its discovery document says that it is `{str(told.get('issuer'))[:200]}`")
        source = str(told["jwks_uri"])
        _check(source)
        return source


def _check(url: str) -> None:
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ConfigError(f"`{url}` is not fetched: keys come by https only (http from this machine itself)")


def fetch_json(url: str, *, seconds: float = 5.0) -> Mapping[str, Any]:
    """An object from the web: no redirects, at most 1 MiB. Raises `OSError` or `ValueError`."""
    opener = urllib.request.build_opener(_NoRedirect())
    with opener.open(url, timeout=seconds) as answer:
        data = answer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"`{url}` has more than {MOST_BYTES} bytes")
    found: Any = pydantic_core.from_json(data)
    if not isinstance(found, dict):
        raise ValueError(f"`{url}` is no JSON object")
    return found  # pyright: ignore[reportUnknownVariableType]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None
