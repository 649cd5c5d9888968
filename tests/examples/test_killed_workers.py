"""Wrapped agents of each framework in real workers that die by SIGKILL, at random: each write happens once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.adk", reason='pip install "perdure[google-adk]"')
pytest.importorskip("strands", reason='pip install "perdure[strands]"')
pytest.importorskip("agents", reason='pip install "perdure[openai-agents]"')
pytest.importorskip("langgraph", reason='pip install "perdure[langgraph]"')
pytest.importorskip("pydantic_ai", reason='pip install "perdure[pydantic-ai]"')

from perdure import App
from perdure.journal import Entry, Kind, RunQuery, RunRecord, RunStatus, WaitReason
from perdure.testing import ModelServer, Turns
from perdure.testing.model_server import Reply, Rule, Rules, asks, call, gives, says
from perdure.testing.witness import call_of, check_journal
from tests.examples.test_adk_and_strands import GARDEN, TRAVEL
from tests.faults.processes import ROOT, until
from tests.places import Place

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

KILLS = int(os.environ.get("PERDURE_TEST_KILLS", "5"))
SEED = int(os.environ.get("PERDURE_TEST_SEED", "1"))
AT_ONCE = 3
"""runs that a worker has when it dies"""


@dataclass(frozen=True)
class Example:
    module: str
    agent: str
    input: str
    script: Any
    writes: dict[str, int]
    """what one run does to the world, by tool"""


EXAMPLES = [
    Example(
        "pydantic_ai_bank_support", "support", "I lost my card!",
        Turns([Reply(calls=(call("balance", pending=True), call("block_card", reason="lost"))),
               gives({"message": "It is blocked.", "risk": 8})]),
        {"block_card": 1},
    ),
    Example(
        "openai_agents_customer_service", "desk", "my money back",
        Turns([asks("transfer_to_refund_agent"), asks("refund", confirmation="ABC123", amount=50), says("Done.")]),
        {"refund": 1},
    ),
    Example("google_adk_customer_service", "garden", "a fern, planted", GARDEN,
            {"grant_discount": 1, "plan_planting": 1}),
    Example("strands_travel_desk", "travel", "to Oslo", TRAVEL, {"book": 1}),
    Example(
        "langgraph_supervisor", "report", "Utopia",
        Rules([
            Rule(says("trade, weather"), when="Name the topics"),
            Rule(says("trade is well"), when="Research trade"),
            Rule(says("it rains"), when="Research weather"),
            Rule(asks("figures", topic="trade"), system="You write reports", turn=1),
            Rule(says("A report."), system="You write reports", turn=2),
        ]),
        {"publish": 1},
    ),
    Example(
        "plain_openai_loop", "loop", "Oslo?",
        Turns([asks("weather", city="Oslo"), asks("book_table", people=2), says("Booked.")]),
        {"book_table": 1},
    ),
]  # fmt: skip


@dataclass
class Street:
    """Workers of one example, one after the other, and the operator who looks after its runs."""

    example: Example
    app: App
    folder: Path
    environ: dict[str, str]
    started: int = 0
    kills: int = 0
    settled: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])

    @property
    def ledger(self) -> list[dict[str, Any]]:
        file = self.folder / "ledger"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    async def begin(self) -> None:
        for _ in range(AT_ONCE):
            self.started += 1
            await self.app.start(self.example.agent, self.example.input, run_id=f"r{self.started}")

    async def records(self) -> list[RunRecord]:
        return await self.app.store.find(RunQuery(limit=10_000))

    async def over(self) -> bool:
        records = await self.records()
        assert all(r.status is not RunStatus.QUARANTINED for r in records)
        assert not any("nondeterministic" in r.reasons for r in records)
        return all(r.status not in (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING) for r in records)

    async def results(self) -> int:
        journals = [await self.app.store.read(record.ref) for record in await self.records()]
        return sum(e.kind in (Kind.RESULT, Kind.ENDED) for entries in journals for e in entries)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        log = (self.folder / f"worker{self.kills}.log").open("wb")
        words = ("-m", "perdure.cli", "worker", "tests/examples/ledgered.py:app", "--lease", "2s")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=ROOT, env=self.environ, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            log.close()

    async def kill(self, dice: random.Random) -> None:
        """A worker's life: so many results, and a moment more."""
        enough = await self.results() + dice.randint(1, 6)

        async def come() -> bool:
            assert worker.returncode is None, "the worker ended by itself"
            return await self.results() >= enough or await self.over()

        async with self.worker() as worker:
            await until(come, "the runs go on", within=120)
            await asyncio.sleep(dice.uniform(0, 0.05))  # the moment itself
            worker.send_signal(signal.SIGKILL)
        self.kills += 1

    async def operate(self) -> None:
        """Approve what is asked, and settle what is in doubt by what the ledger has."""
        while True:
            seen = self.app.store.changes()
            for question in await self.app.open_approvals():
                try:
                    await self.app.answer(
                        question.ref.id, question.step, approved=True, by="boss", digest=question.digest
                    )
                except Exception as error:  # it was answered a moment ago, and its worker has died since
                    assert "answer" in str(error) or "open" in str(error), error
            for record in await self.records():
                if record.status is RunStatus.WAITING and WaitReason.IN_DOUBT in record.reasons:
                    await self.settle(record.ref.id, await self.app.store.read(record.ref))
            await self.app.store.changed(seen, within=0.1)

    async def settle(self, run: str, entries: list[Entry]) -> None:
        done = {e.key: e.seq for e in entries if e.kind == Kind.SETTLED}
        for entry in entries:
            if (
                entry.kind != Kind.WAITING
                or done.get(entry.key, 0) > entry.seq
                or (run, entry.seq) in self.settled
            ):
                continue
            if json.loads(entry.payload)["on"] != WaitReason.IN_DOUBT:
                continue
            self.settled.add((run, entry.seq))
            tool, _ = call_of(entry)
            found = [n for n in self.ledger if (n["run"], n["tool"]) == (run, tool)]
            result = found[0]["result"] if found else None
            await self.app.settle(run, entry.key, happened=bool(found), result=result, by="operator")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.module)
async def test_each_write_happens_once(example: Example, place: Place, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    url = place.url(tmp_path)
    module = __import__(f"examples.frameworks.{example.module}", fromlist=["app"])
    with ModelServer(example.script) as server:
        environ = {**os.environ, **server.environ(), "EXAMPLE": example.module, "STORE": url,
                   "LEDGER": str(tmp_path / "ledger"), "PYTHONPATH": str(ROOT)}  # fmt: skip
        async with App(url) as app:
            app.agents, app.tools, app.effects = module.app.agents, module.app.tools, module.app.effects
            street = Street(example, app, tmp_path, environ)
            operator = asyncio.create_task(street.operate())
            try:
                while street.kills < KILLS:
                    if await street.over():
                        await street.begin()
                    await street.kill(dice)
                async with street.worker():
                    await until(street.over, "all runs have ended", within=300)
                if operator.done():
                    operator.result()
            finally:
                operator.cancel()
                await asyncio.gather(operator, return_exceptions=True)
            records = await street.records()
            for record in records:
                check_journal(record.ref, await app.store.read(record.ref), where=example.module)
        asked = len(server.requests)

    assert {r.status for r in records} == {RunStatus.SUCCEEDED}
    wanted = {
        (f"r{n}", tool): times for n in range(1, street.started + 1) for tool, times in example.writes.items()
    }
    done = Counter((n["run"], n["tool"]) for n in street.ledger if n["effect"] == "write")
    again = {(n["run"], n["tool"]): {m["key"] for m in street.ledger if m["run"] == n["run"] and m["tool"] == n["tool"]}
             for n in street.ledger if n["effect"] == "idempotent"}  # fmt: skip
    assert {call: n for call, n in done.items() if wanted.get(call) != n} == {}
    assert wanted.keys() <= done.keys() | again.keys()
    assert all(len(keys) == 1 for keys in again.values()), "it was asked for again under another key"
    print(
        f"{example.module}, {url.partition(':')[0]}: {street.started} runs, {street.kills} kills, "
        f"{len(street.settled)} writes in doubt, {sum(done.values())} done, {asked} requests to models"
    )
