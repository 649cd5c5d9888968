from __future__ import annotations

from collections.abc import Iterator

import pytest

from perdure.identity import MasterKeys
from tests.memory.valkey import PASSWORD, ValkeyServer, serving


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[ValkeyServer]:
    pytest.importorskip("redis", reason='no redis client: `pip install "perdure[redis]"`')
    with serving() as server:
        yield server


@pytest.fixture
def valkey(valkey_process: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> ValkeyServer:
    """A server without data; the password is in VALKEY_PASSWORD."""
    import redis

    monkeypatch.setenv("VALKEY_PASSWORD", PASSWORD)
    with redis.Redis.from_url(valkey_process.url, password=PASSWORD) as client:
        client.flushall()
    return valkey_process


@pytest.fixture
def master_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A master key, where every process of a test finds it."""
    key = MasterKeys.new()
    monkeypatch.setenv("PERDURE_MASTER_KEY", key)
    return key
