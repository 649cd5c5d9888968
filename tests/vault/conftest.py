"""A real OAuth server on loopback, a store of each kind, and a vault on it."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perdure.app import open_store
from perdure.core.clock import SystemClock
from perdure.core.provider_settings import ProviderSettings
from perdure.identity import MasterKeys, Wanted
from perdure.identity.oauth import Authorization, Tokens
from perdure.journal import Amendment, Cell, CellKey, Store
from perdure.testing import OAuthServer
from perdure.vault import Connected, Grant, Vault, connect_browser
from perdure.vault import Place as Where
from perdure.vault.grants import grant_key
from tests.places import Place

SECRET = "a-clients-secret"
TENANT = "acme"
ANN = "user:ann"
HUB = "hub"


class Master:
    """The file of the master keys."""

    def __init__(self) -> None:
        self.keys = [MasterKeys.new()]

    def __call__(self) -> MasterKeys:
        return MasterKeys.read("\n".join(self.keys), where="the test")

    def rotate(self) -> str:
        """A new key in front; the old one."""
        self.keys.insert(0, MasterKeys.new())
        return self.keys[1]


class Browser:
    """Goes where it is sent, follows redirects, and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, str]] = []
        self._going: list[threading.Thread] = []

    def __call__(self, begun: Authorization) -> None:
        going = threading.Thread(target=self.visit, args=(begun.url,))
        going.start()
        self._going.append(going)

    def visit(self, url: str) -> int:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                self.shown.append((answer.status, answer.read().decode()))
        except urllib.error.HTTPError as error:
            with error:
                self.shown.append((error.code, error.read().decode()))
        return self.shown[-1][0]

    def close(self) -> None:
        for going in self._going:
            going.join()


def wanted(subject: str = ANN, *scopes: str, provider: str = HUB, tenant: str = TENANT) -> Wanted:
    return Wanted(
        tenant=tenant, subject=subject, provider=provider, scopes=scopes, agent="desk", run="r1", step="call"
    )


def me(token: str, server: OAuthServer) -> int:
    """What the API behind the server says to a token."""
    asked = urllib.request.Request(server.api, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuthServer]:
    monkeypatch.setenv("HUB_SECRET", SECRET)
    with OAuthServer(client_secret=SECRET) as server:
        yield server


@pytest.fixture
def master() -> Master:
    return Master()


@pytest.fixture
async def store(place: Place, tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(place.url(tmp_path))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def providers(server: OAuthServer) -> dict[str, ProviderSettings]:
    return {
        HUB: server.settings(client_secret="env:HUB_SECRET"),
        "other": server.settings(client_secret="env:HUB_SECRET"),
        "mail": ProviderSettings(kind="api_key", scheme="Token"),
    }


@pytest.fixture
async def vault(store: Store, providers: dict[str, ProviderSettings], master: Master) -> AsyncIterator[Vault]:
    vault = Vault(store, providers, master)
    yield vault
    await vault.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


Connect = Callable[..., Any]


@pytest.fixture
def connect(vault: Vault, browser: Browser) -> Connect:
    async def connect(subject: str = ANN, provider: str = HUB, *, tenant: str = TENANT) -> Connected:
        return await connect_browser(vault, tenant, subject, provider, tell=browser)

    return connect


async def expire(vault: Vault, subject: str = ANN, *, seconds: float = -1) -> Tokens:
    """Let what is kept end in `seconds`: the same tokens, as if they had been handed out an hour ago."""
    now, key = SystemClock().micros(), grant_key(Where(TENANT, subject, HUB))
    grant = await vault.keeping.get(Where(TENANT, subject, HUB))
    assert grant is not None
    ended = replace(await vault.keeping.open(grant), expires_at=now + int(seconds * 1e6))
    await vault.keeping.put(grant.place, ended, kind="oauth2", by=subject)

    def long_ago(cells: Mapping[CellKey, Cell], at: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        return {key: replace(Grant.of(key, cells[key]), renewed_at=at - 3600_000_000).cell()}, None

    await vault.keeping.store.amend(Amendment((key,), long_ago))
    return ended
