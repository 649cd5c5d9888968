"""What must be reached, beside what was. A goal is written here once; tables and pages take it from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .catalogue import APPENDED, BACKTEST, PIPELINED, POLICIES, STEP, STORES, TOKENS, VERIFIED
from .figures import Figures
from .frameworks_cases import CEILING, LANGGRAPH_AGENT, OF_FOUNDATION, PYDANTIC_AI, TIMES, Framework
from .memory_cases import FACTS, SESSIONS, WORKING

__all__ = ["GOALS", "Goal", "Verdict", "verdicts"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure."""

    what: str
    bench: str
    contender: str
    metric: str
    way: Literal["at least", "at most"]
    bound: float
    stores: tuple[str, ...] = STORES
    ceiling: str | None = None
    """the metric of the same contender which this one cannot pass, whatever is done"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, and the figure on one store; None where it has not been measured."""

    goal: Goal
    store: str
    value: float | None
    unit: str
    most: float | None = None
    """what it cannot pass, where that is known"""

    @property
    def reached(self) -> bool | None:
        """Whether the figure is within the bound; None: not measured."""
        if self.value is None:
            return None
        return self.value >= self.goal.bound if self.goal.way == "at least" else self.value <= self.goal.bound

    @property
    def allowed(self) -> bool:
        """Whether the bound can be reached at all: False where not even the ceiling is within it."""
        return self.most is None or self.most >= self.goal.bound


def _steps(runs: int, of_raw: float) -> list[Goal]:
    bench = f"steps-{runs}"
    return [
        Goal(f"{runs} runs, against bare rows", bench, STEP, "of bare rows", "at least", of_raw),
        Goal(f"{runs} runs, against indexed rows", bench, STEP, "of indexed rows", "at least", of_raw),
        Goal(f"{runs} runs, against DBOS", bench, STEP, "times DBOS", "at least", 20),
        Goal(f"{runs} runs, against LangGraph", bench, STEP, "times LangGraph", "at least", 20),
        Goal(f"{runs} runs, CPU of the worker", bench, STEP, "CPU per step", "at most", 50),
    ]


def _framework(of: Framework, against: str, times: float) -> list[Goal]:
    name = "frameworks"
    return [
        Goal(f"{of.name} in a run, CPU it adds to a step", name, of.step, OF_FOUNDATION, "at most", 1.3),
        Goal(
            f"{of.name} in a run, against {against}", name, of.step, TIMES, "at least", times, ceiling=CEILING
        ),
    ]


GOALS: list[Goal] = [
    *_steps(64, 0.2),
    *_steps(512, 0.15),
    *_framework(PYDANTIC_AI, "its integration of DBOS", 5),
    *_framework(LANGGRAPH_AGENT, "LangGraph's savers", 10),
    Goal(
        "two workers against one",
        "fleet",
        "two worker processes",
        "times one",
        "at least",
        1.6,
        ("postgres",),
    ),
    Goal("durability of a turn, every step on disk", "turn", STEP, "added to a turn", "at most", 0.3),
    Goal("durability of a turn, commits under way", "turn", PIPELINED, "added to a turn", "at most", 0.3),
    Goal("growth from 20 to 200 turns", "sizes", STEP, "growth", "at most", 10.5),
    Goal("200 turns against bare rows", "sizes", STEP, "of bare rows", "at most", 1.3),
    Goal("200 turns against indexed rows", "sizes", STEP, "of indexed rows", "at most", 1.3),
    Goal("objects held by a waiting run", "held", "perdure", "objects of one waiting run", "at most", 16),
    Goal("restart with 100,000 waiting runs", "waiting", "perdure", "restart to ready", "at most", 2),
    Goal(
        "a million entries: the runs list of the API",
        "server",
        "perdure",
        "runs list, API, p95",
        "at most",
        100,
    ),
    Goal(
        "a million entries: the runs list's page", "server", "perdure", "runs list, page, p95", "at most", 100
    ),
    Goal("a million entries: a run's page", "server", "perdure", "run page, p95", "at most", 100),
    Goal(
        "runs started through the API, as many waiting",
        "server",
        "perdure",
        "runs started through the API, others waiting",
        "at least",
        200,
    ),
    Goal(
        "memory of streams, both ends",
        "server",
        "perdure",
        "memory of the streams, both ends",
        "at most",
        300e6,
    ),
    Goal("killed runs going on beyond the lease", "recovery", "perdure", "beyond the lease", "at most", 1),
    Goal("finished steps run again", "recovery", "perdure", "finished steps run again", "at most", 0),
    Goal("a token minted", "identity", TOKENS, "minted", "at most", 100, ("-",)),
    Goal("a call verified", "identity", TOKENS, "verified", "at most", 150, ("-",)),
    Goal("what 30 tools may, asked anew", "policy", POLICIES, "what 30 tools may", "at most", 6_000, ("-",)),
    Goal("what 30 tools may, asked again", "policy", POLICIES, "asked again", "at most", 20, ("-",)),
    Goal(
        "a verdict, beside Cedar's own call", "policy", POLICIES, "beside Cedar's own", "at most", 250, ("-",)
    ),
    Goal(
        "100,000 decisions judged anew",
        "policy-backtest",
        BACKTEST,
        "100,000 decisions",
        "at most",
        60,
    ),
    Goal("an entry under the audit log, CPU added", "audit", APPENDED, "added", "at most", 20),
    Goal("a store verified", "audit", VERIFIED, "verified", "at least", 20_000),
    Goal("a message appended, among a million", "memory", SESSIONS, "append, p95", "at most", 5),
    Goal("the last 20 messages, among a million", "memory", SESSIONS, "last 20, p95", "at most", 30),
    Goal("a working item added, of 100,000", "memory", WORKING, "append, p95", "at most", 5),
    Goal("working memory by words", "memory", WORKING, "recall by words, p95", "at most", 30),
    Goal("working memory by meaning", "memory", WORKING, "recall by meaning, p95", "at most", 30),
    Goal("a fact said, among a million", "memory", FACTS, "fact said, p95", "at most", 5),
    Goal("facts about somebody, among a million", "memory", FACTS, "facts about one, p95", "at most", 30),
    Goal("two hops, among a million facts", "memory", FACTS, "two hops, p95", "at most", 50),
    Goal("replay of 1,000 steps", "replay", "perdure", "replay of 1,000 steps", "at most", 100),
]


def verdicts(figures: Figures) -> list[Verdict]:
    """Every goal on every store that it is meant for."""
    found: list[Verdict] = []
    for goal in GOALS:
        for store in goal.stores:
            figure = figures.find(goal.bench, store, goal.contender, goal.metric)
            value = float(figure.value) if figure and isinstance(figure.value, int | float) else None
            most = goal.ceiling and figures.number(goal.bench, store, goal.contender, goal.ceiling)
            found.append(Verdict(goal, store, value, figure.unit if figure else "", most or None))
    return found
