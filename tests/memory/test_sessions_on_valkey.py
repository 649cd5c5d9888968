"""Sessions on a real Valkey server: the promises of every backend, what is sealed, and a server that goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio

from perdure import App, ConfigError, Kind, Run, StoreUnavailable, SubjectErased
from perdure.cli.project.memory_check import sessions_server
from perdure.db.redis import RedisLink, RedisSessions, durability
from perdure.journal import Entry
from perdure.memory import Origin, Place, Sessions
from perdure.testing import Boundary, kill_at
from perdure.testing.conformance import MemoryConformance
from tests.memory.test_sessions_in_runs import EXPECTED, desk
from tests.memory.valkey import PASSWORD, ValkeyServer, serving

CASE = Place("default", None, "case-17")
ORIGIN = Origin(run="r1", step="session_append")


@pytest.fixture
async def link(valkey: ValkeyServer) -> AsyncIterator[RedisLink]:
    link = RedisLink(valkey.url, password=PASSWORD)
    yield link
    await link.close()


class TestSessionsOnValkey(MemoryConformance):
    @pytest.fixture
    def sessions(self, link: RedisLink) -> Sessions:
        return RedisSessions(link)

    @pytest.fixture
    async def sessions_of_another(self, valkey: ValkeyServer) -> AsyncIterator[Sessions]:
        another = RedisLink(valkey.url, password=PASSWORD)
        yield RedisSessions(another)
        await another.close()

    @pytest.fixture
    def now(self) -> Callable[[], int]:
        return lambda: time.time_ns() // 1000

    @pytest.fixture
    def pass_time(self, link: RedisLink) -> Callable[[timedelta], Awaitable[None]]:
        """The server's clock cannot be set: what ends within the time is let end now."""

        async def pass_(span: timedelta) -> None:
            ended = 0
            for key in await link.ask("KEYS", "*"):
                left = await link.ask("PTTL", key)
                if 0 < left <= span / timedelta(milliseconds=1):
                    await link.ask("PEXPIRE", key, 0)
                    ended += 1
            assert ended, "the server was not told when it ends"

        return pass_


def app_on(server: ValkeyServer, url: str = "memory://", **more: Any) -> App:
    memory = {"sessions": server.url, "sessions_password": "env:VALKEY_PASSWORD"}
    return App(url, memory=memory, **more)


async def test_runs_find_there_what_others_have_written(valkey: ValkeyServer, link: RedisLink) -> None:
    app = desk(app=app_on(valkey))
    async with app:
        run = await app.start("desk")
        assert await run.result() == EXPECTED
        assert await (await app.start("reader")).result() == ["hello", {"items": [1, None]}]

    (first, _) = await RedisSessions(link).messages(CASE, whole=True)
    assert (first.origin.run, first.origin.labels) == (run.id, ("untrusted",))


async def test_a_crash_between_the_write_and_its_record_does_not_double_it(valkey: ValkeyServer) -> None:
    for step in ("session_append:2", "session_delete"):
        async with redis.asyncio.Redis.from_url(valkey.url, password=PASSWORD) as client:
            await client.flushall()
        trial = await kill_at(
            desk(app=app_on(valkey)), "desk", boundary=Boundary("before", "result", step=step)
        )
        assert trial.result == EXPECTED


async def test_a_server_that_is_away_fails_no_run(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        app = app_on(server)
        asked = asyncio.Event()

        @app.agent("writes")
        async def writes(run: Run) -> list[Any]:
            session = run.session("case-17")
            await session.append("user", "hello")
            await run.step("kills", server.kill)
            asked.set()
            return [m.content for m in await session.messages()]

        async with app:
            run = await app.start(writes)
            await asked.wait()
            tried: list[Entry] = []
            while not tried:
                await asyncio.sleep(0.01)
                tried = [e for e in await run.entries() if e.kind == Kind.ATTEMPT]
            told = tried[0].payload.decode()
            server.start()
            assert await run.result() == ["hello"]

    assert "StoreUnavailable" in told and PASSWORD not in told


async def test_what_a_person_says_is_sealed_there_and_erased_with_the_key(
    valkey: ValkeyServer, link: RedisLink, monkeypatch: pytest.MonkeyPatch, master_key: str
) -> None:
    app = app_on(valkey)

    @app.agent("desk")
    async def agent(run: Run) -> list[Any]:
        session = run.session("case-17")
        await session.append("user", "unmistakable words")
        await session.append("user", "fleeting words", ttl=timedelta(hours=1))
        await session.set("state", {"unmistakable": "words"})
        await session.compact("unmistakable summary", upto=1)
        kept = await session.get("state")
        assert kept is not None
        return [kept.value, [m.content for m in await session.messages()]]

    async with app:
        run = await app.start(agent, subject="patient:1")
        assert await run.result() == [
            {"unmistakable": "words"},
            ["unmistakable summary", "fleeting words"],
        ]
        place = CASE._replace(subject="patient:1")
        stored = [await link.ask("DUMP", key) for key in await link.ask("KEYS", "perdure:*")]
        assert len(stored) > 5 and not any(b"unmistakable" in s or b"fleeting" in s for s in stored)
        assert [head.place for head in await app.memory.sessions.ls("default")] == [place]
        whole = await app.memory.sessions.messages(place, whole=True)
        assert [m.content for m in whole] == ["unmistakable words", "fleeting words"]

        # Moved elsewhere it does not open.
        raw = RedisSessions(link)
        (sealed, _) = await raw.messages(place, whole=True)
        other = place._replace(session="case-18")
        await raw.append(other, "user", sealed.content, origin=ORIGIN, key="moved")
        assert await app.memory.sessions.messages(other) == []

        await app.erase("patient:1", by="user:ada")

        assert await app.memory.sessions.ls("default") == []
        assert [k for k in await link.ask("KEYS", "*") if b":done:" not in k] == []
        with pytest.raises(SubjectErased):
            await app.memory.sessions.append(place, "user", "late", origin=ORIGIN, key="late")


async def test_how_safely_it_keeps_is_what_the_server_says(link: RedisLink) -> None:
    assert (await durability(link)).fsync == "always"
    await link.ask("CONFIG", "SET", "appendfsync", "everysec", "maxmemory", "1gb")
    await link.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        told = await durability(link)
        assert (told.fsync, told.evicts, told.replica) == ("everysec", "allkeys-lru", False)
    finally:
        await link.ask("CONFIG", "SET", "appendfsync", "always", "maxmemory", "0")
        await link.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_wrong_password_is_told_without_it(valkey: ValkeyServer) -> None:
    link = RedisLink(valkey.url, password="wrong-and-secret")
    with pytest.raises(StoreUnavailable, match="AuthenticationError") as refused:
        await link.ask("PING")
    assert "wrong-and-secret" not in str(refused.value)
    await link.close()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"sessions": "redis://u:hunter2@host"}, "may hold no password"),
        ({"sessions": "redis://host?password=hunter2"}, "may hold no password"),
        ({"sessions": "memcached://:hunter2@host"}, 'must be "store"'),
        ({"sessions_password": "env:X"}, "for a server"),
        ({"sessions": "redis://host", "sessions_password": "hunter2"}, "must say where"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_without_the_password(
    table: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        App("memory://", memory=table)
    assert "hunter2" not in str(refused.value)


async def test_the_doctor_says_what_a_write_is_worth(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def said() -> str:
        found = [each async for each in sessions_server(app_on(valkey))]
        return " ".join(found[0][:2])

    assert (await said()).startswith("ok") and "is on disk" in await said()
    monkeypatch.setenv("VALKEY_PASSWORD", "wrong-and-secret")
    assert (await said()).startswith("fail") and "wrong-and-secret" not in await said()
    monkeypatch.delenv("VALKEY_PASSWORD")
    assert (await said()).startswith("fail") and "`VALKEY_PASSWORD`, which is not set" in await said()
