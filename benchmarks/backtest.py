"""How long it takes to judge all decisions of a store by other policies."""

from __future__ import annotations

import asyncio
import time

import pydantic_core

from perdure import open_store
from perdure.core.ids import RunRef
from perdure.governance.policy import PolicyCall, PolicyFile, ToolForm, judge
from perdure.governance.policy.book import PolicyBook
from perdure.governance.policy.trials import Backtest
from perdure.journal import Append, Kind, NewRun, Serves, Session, Store
from perdure.testing.journals import JournalBuilder
from perdure.views import decisions

from .policy import ARGUMENTS, PAY
from .workload import Measured

__all__ = ["backtest"]

PER_RUN = 100
"""Decisions."""


def _book(limit: int) -> PolicyBook:
    """100 policies, a quarter of them for the tool that is called: above `limit` somebody is asked."""
    forms = [ToolForm("pay", "write", PAY), *(ToolForm(f"tool{i}", "read", PAY) for i in range(29))]
    text = ['@id("all") permit (principal, action, resource);']
    for i in range(99):
        action = 'Action::"pay"' if i % 4 == 0 else f'Action::"tool{i % 29}"'
        text.append(
            f'@id("p{i}") @gate("human") @role("finance") forbid (principal, action == {action}, resource) '
            f'when {{ context.args.cents > {limit + i} || context.untrusted.contains("iban") }} '
            'unless { context.approvals.contains("finance") };'
        )
    files = [PolicyFile("organisation", "bench.cedar", "\n".join(text))]
    return PolicyBook(files, agents=["desk"], tools=forms, where="bench")


async def _filled(store: Store, runs: int) -> None:
    """Runs with so many decisions, no two of which are about the same call."""
    book = _book(1_000_000)
    await store.register(Session(id="bench", lease=3_600_000_000))

    async def fill(n: int) -> None:
        ref = RunRef("default", f"r{n}")
        first = JournalBuilder(ref).entry(Kind.STARTED, payload=b"{}")
        await store.create(NewRun(ref=ref, agent="desk", version="1", entries=[first]))
        (claim,) = await store.claim("bench", [Serves("desk", "1")], limit=1, only=ref)
        builder = JournalBuilder.of(claim.run)
        entries = [
            builder.entry(Kind.VERDICT, f"pay#{i}", _told(book, n * PER_RUN + i)) for i in range(PER_RUN)
        ]
        await store.append(Append(builder.rid, builder.epoch, claim.run.head, entries))

    for begin in range(0, runs, 50):
        await asyncio.gather(*(fill(n) for n in range(begin, min(begin + 50, runs))))


def _told(book: PolicyBook, n: int) -> bytes:
    arguments = {**ARGUMENTS, "cents": n, "note": f"invoice {n}"}
    call = PolicyCall(
        agent="desk", tool="pay", arguments=arguments, tenant="default", user="user:ann", hour=12
    )
    verdict = judge(book.policies, call)
    told = {"stage": "policy", "verdict": str(verdict.decision), "tool": "pay", "version": book.digest}
    return pydantic_core.to_json({**told, "policies": list(verdict.policies), "call": call.to_json()})


async def backtest(url: str, *, decisions_: int) -> Measured:
    """A candidate that asks about one in ten calls more than was asked about."""
    store = open_store(url)
    await store.open()
    await _filled(store, decisions_ // PER_RUN)
    found = Backtest(_book(decisions_ * 9 // 10))
    began = time.perf_counter()
    async for recorded in decisions.recorded(store, "default"):
        found.see(recorded)
    took = time.perf_counter() - began
    await store.close()
    if found.judged != decisions_ or found.same:
        raise RuntimeError(f"the backtest of the bench judged {found.judged} decisions: {found.changes}")
    return {
        "judged": (found.judged / took, "decisions/s"),
        "100,000 decisions": (took / found.judged * 100_000, "s"),
    }
