"""What a story is made of: steps, questions, doubts, what happened on the way, and the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...governance import NOTHING, Amount, Ledger
from ...memory import Recalled

__all__ = ["Doubt", "Happening", "Question", "Shift", "Short", "Step", "Story"]


@dataclass
class Step:
    """One step, from its first entry to its last. Times are microseconds; `ended` is None while it goes on."""

    key: str
    what: str
    """`step`, `effect`, `wait`, `decision`"""
    began: int
    ended: int | None = None
    state: str = "running"
    """`running`, `ok`, `failed`, `waiting`, `doubt`, `overcome` (it did not fit, and what did followed), `stopped` (the
    run, or a race, ended first)"""
    stalled: int | None = None
    """since when it is in doubt"""
    waited: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """from when to when it waited, for somebody or something, before it went on"""
    waits_since: int | None = None
    """None: it does not wait now"""
    attempts: int = 0
    tried: int = 0
    """attempts that have failed and were followed by another"""
    trouble: str = ""
    """what the last of those came to"""
    instead: str | None = None
    """the fallback that followed it"""
    failure: str = ""
    """the class of the error that it ended with"""
    overcome_by: str | None = None
    """the step that followed where it did not fit"""
    waits_for: str | None = None
    note: str = ""
    recalled: Recalled[Any] | None = None
    """what it got of memory, and what was left out; None: it did not ask"""
    cost: Amount = NOTHING
    unpriced: bool = False
    estimated: bool = False


@dataclass(frozen=True)
class Doubt:
    """A write of which nobody knows whether it happened, put before a human."""

    step: str
    tool: str
    declared: bool
    verify: bool
    why: str
    problem: str
    arguments: Any
    since: int


@dataclass(frozen=True)
class Question:
    """A question that stands open."""

    step: str
    question: str
    choices: list[str] | None
    show: Any
    due: int | None
    since: int
    digest: str | None = None
    """of a call that is to be approved: what an answer is bound to"""
    about: Any = None
    """what is told beside it"""
    form: Any = None
    """JSON schema of the answer, where it has one"""


@dataclass(frozen=True)
class Shift:
    """A segment that began with another behaviour than the one before it, or the first whose behaviour is known."""

    entry: int
    at: int
    digest: str
    parts: dict[str, str]
    changed: list[str]
    """names of the parts; empty for the first"""
    steps: int
    """how many had begun before"""


@dataclass
class Happening:
    """One thing that the boundary did on the way, told in a line."""

    at: int
    step: str
    sign: str
    style: str
    text: str


@dataclass(frozen=True)
class Short:
    """A budget that does not hold what a step needs."""

    whose: str
    """`run`, `agent NAME` or `tenant`"""
    dimension: str


@dataclass
class Story:
    """What a journal says, for people and for `--json`."""

    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    latest: dict[tuple[str, str], Step] = field(default_factory=dict[tuple[str, str], Step])
    """of each scope and name, whatever its number: the last step, which the next of them may be the answer to"""
    doubts: dict[str, Doubt] = field(default_factory=dict[str, Doubt])
    questions: dict[str, Question] = field(default_factory=dict[str, Question])
    connections: dict[str, str] = field(default_factory=dict[str, str])
    """steps that wait for the user to connect an account, and the command that does so"""
    short: dict[str, Short] = field(default_factory=dict[str, Short])
    """steps that wait for a budget"""
    on_the_way: list[Happening] = field(default_factory=list[Happening])
    """attempts, verdicts, warnings, what was left out of conversations: as they came"""
    uncovered: dict[str, int] = field(default_factory=dict[str, int])
    """tools that a model could use unseen, run by its provider; and in how many turns they were offered"""
    ledger: Ledger = field(default_factory=Ledger)
    """what it has spent, its children included, and what is set aside; of the last generation and those before it"""
    limits: dict[str, int] = field(default_factory=dict[str, int])
    """the budget that it was started with, where it was"""
    failure: dict[str, Any] | None = None
    """the error that it ended with, or the last that a step raised"""
    failed_step: str | None = None
    mismatch: dict[str, Any] | None = None
    result: Any = None
    has_result: bool = False
    """also of a run that ended partial, where there is something"""
    ending: dict[str, Any] | None = None
    """what the last entry says of the end, but for the result"""
    escalations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """whom the end was told, who has acknowledged it; with `at`"""
    outcomes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """whether the goal was met, each with `at`; the last counts"""
    input: Any = None
    principal: str | None = None
    """for whom it acts"""
    on_behalf_of: dict[str, Any] | None = None
    """the same as it was vouched for: `issuer`, `grants`, until when; None: nobody did"""
    chain: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """the agents that handed it on, the nearest first: `agent`, `run`"""
    origin: dict[str, Any] | None = None
    """the run that it was made of, by a fork or a retry"""
    generation: int = 1
    last_began: int = 0
    """when the last generation began"""
    claims: int = 0
    behaviours: list[Shift] = field(default_factory=list[Shift])
    """the first, and one for each change"""
    began: int = 0
    last: int = 0
    over: bool = False
    """it has ended; more may have been added since"""
    undelivered: int = 0
    answers: dict[int, str] = field(default_factory=dict[int, str])
    """what messages said, by the entry that holds them"""
