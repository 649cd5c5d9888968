"""The five questions that an agent in production must answer, each from what its runs have left, or "not yet".

No answer is a claim of the documentation: it says what was seen of this agent, and where that is not enough what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..app import App
from ..core.errors import UnknownAgent
from ..journal import TallyColumn, TallyQuery
from ..telemetry import tallied
from .agents import AgentLine, Interval, agent_lines

__all__ = ["Answer", "Evidence", "State", "answers"]

State: TypeAlias = Literal["yes", "partly", "not yet"]

ENOUGH = 29
"""Runs without a failure after which it is known, with a certainty of 95 %, that nine of ten go well."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen: what, how often or how much, and where to look at it."""

    what: str
    value: str
    command: str | None = None
    """that shows it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question, and what can be answered."""

    question: str
    state: State
    said: str
    """in a sentence"""
    evidence: Sequence[Evidence]
    todo: str | None
    """what is missing, and how to get it; None: nothing"""


async def answers(app: App, agent: str, *, tenant: str | None) -> list[Answer]:
    """The five answers about all versions of an agent. Raises `UnknownAgent` for one that has never run."""
    await app.open()
    lines = await agent_lines(app.store, tenant=tenant, agent=agent)
    if not any(line.started for line in lines):
        raise UnknownAgent(
            f"no run of agent `{agent}` is known; `perdure agents ls` names those that there are"
        )
    where: dict[TallyColumn, Sequence[str]] = {"agent": [agent]}
    if tenant is not None:
        where["tenant"] = [tenant]
    counted = await tallied(app.store, TallyQuery(by=("what", "name"), where=where))
    n: dict[str, dict[str, int]] = {}
    for (what, name), tally in counted:
        n.setdefault(str(what), {})[str(name)] = tally.n
    lag = await app.store.log_lag()
    durable = not app.store.url.startswith("memory:")
    return [
        _state(agent, lines, durable=durable),
        _traced(agent, lines, n, sequenced=lag.runs == 0),
        _halfway(agent, n.get("effect", {})),
        _alone(agent, n.get("guard", {}), n.get("claim", {}), n.get("wait", {})),
        _measured(agent, lines),
    ]


def _state(agent: str, lines: Sequence[AgentLine], *, durable: bool) -> Answer:
    deaths = sum(line.deaths for line in lines)
    evidence = [
        Evidence("runs whose whole state is a journal", _many(sum(line.started for line in lines))),
        Evidence("deaths of workers that a run survived", _many(deaths)),
        Evidence(
            "under way now", _many(sum(line.under_way for line in lines)), f"perdure runs ls --agent {agent}"
        ),
    ]
    question = "Where does its state live, and is it recovered after a crash?"
    if not durable:
        return Answer(
            question=question,
            state="not yet",
            said="Its journals are in memory, and gone with the process.",
            evidence=evidence,
            todo="Name a store that lasts: `--store sqlite:///perdure.db`, or a PostgreSQL database.",
        )
    if not deaths:
        return Answer(
            question=question,
            state="partly",
            said="Each run is a journal in the store; no worker has died with one yet, so nobody has seen it recover.",
            evidence=evidence,
            todo=f"Kill its workers on purpose, at every step: `perdure torture --agent {agent}`.",
        )
    return Answer(
        question=question,
        state="yes",
        said=f"Each run is a journal in the store, and {_times(deaths)} another worker went on from it after a death.",
        evidence=evidence,
        todo=None,
    )


def _traced(
    agent: str, lines: Sequence[AgentLine], n: Mapping[str, Mapping[str, int]], *, sequenced: bool
) -> Answer:
    decisions = n.get("decision", {})
    wrong = sum(line.ended.get(s, 0) for line in lines for s in ("failed", "escalated", "partial"))
    failures = n.get("failure", {})
    unknown = failures.get("", 0)
    evidence = [
        Evidence(
            "runs that went wrong, each with its story", _many(wrong), f"perdure runs ls --agent {agent}"
        ),
        Evidence("errors of steps, by class", _listed(failures) or "none"),
        Evidence(
            "decisions recorded, of them with a confidence",
            f"{_many(decisions.get('made', 0))}, {_many(decisions.get('with confidence', 0))}",
        ),
        Evidence("under the audit log", "all" if sequenced else "not all yet", "perdure audit status"),
    ]
    question = "Can one workflow be traced end to end, to where it went wrong?"
    turns = sum(n.get("model", {}).values())
    if turns and not decisions.get("made"):
        return Answer(
            question=question,
            state="partly",
            said="Every step, call and answer is in the journal; why it chose what it chose was not recorded.",
            evidence=evidence,
            todo="Record decisions where they are made: `await run.decide(name, options, choice, reason=...)`.",
        )
    said = "Every step, call, decision and answer is in the journal, and the step that failed is named."
    if unknown:
        said += f" Of {_many(unknown)} errors the class is not known."
    return Answer(question=question, state="yes", said=said, evidence=evidence, todo=None)


def _halfway(agent: str, effects: Mapping[str, int]) -> Answer:
    begun, doubts = effects.get("begun", 0), effects.get("in doubt", 0)
    settled = effects.get("had happened", 0) + effects.get("had not happened", 0)
    evidence = [
        Evidence("writes and idempotent calls tried", _many(begun)),
        Evidence("of which it was in doubt whether they happened", _many(doubts)),
        Evidence(
            "found out since", f"{_many(settled)} ({_many(effects.get('had happened', 0))} had happened)"
        ),
    ]
    question = "What happens when a tool call fails halfway through?"
    if not begun:
        return Answer(
            question=question,
            state="not yet",
            said="None of its tools has written anything: what only reads is repeated.",
            evidence=evidence,
            todo='Declare tools that write: `@app.tool(effect="write", verify=...)`; it is the default for tools.',
        )
    if not doubts:
        return Answer(
            question=question,
            state="partly",
            said="An intent was on disk before each write, so none is repeated unseen; none has failed halfway yet.",
            evidence=evidence,
            todo=f"Make one fail halfway: `perdure torture --agent {agent}` kills it between intent and result.",
        )
    if settled < doubts:
        return Answer(
            question=question,
            state="partly",
            said=f"{_many(doubts - settled)} writes are, or were, in doubt and nobody has said what became of them.",
            evidence=evidence,
            todo="`perdure runs ls --reason in_doubt` names them, `perdure runs settle` settles; a `verify` does too.",
        )
    return Answer(
        question=question,
        state="yes",
        said=f"{_times(doubts).capitalize()} a write was in doubt, was found out, and was not repeated blindly.",
        evidence=evidence,
        todo=None,
    )


def _alone(
    agent: str, guards: Mapping[str, int], claims: Mapping[str, int], waits: Mapping[str, int]
) -> Answer:
    under, without = claims.get("policies", 0), claims.get("no policies", 0)
    judged = sum(count for name, count in guards.items() if name.startswith("policy."))
    evidence = [
        Evidence(
            "segments judged by policies, and by none",
            f"{_many(under)}, {_many(without)}",
            "perdure policy ls",
        ),
        Evidence("calls that policies judged", _many(judged)),
        Evidence(
            "refused by scope, policy or a revocation",
            _many(sum(guards.get(name, 0) for name in ("scope.denied", "policy.deny", "revocation.denied"))),
        ),
        Evidence("put before a human", _many(waits.get("approval", 0)), "perdure approvals ls"),
        Evidence(
            "approved, and denied",
            f"{_many(guards.get('approval.approved', 0))}, {_many(guards.get('approval.denied', 0))}",
        ),
    ]
    question = "What may it do without a human, and what enforces that?"
    if not under:
        return Answer(
            question=question,
            state="not yet",
            said="No policies judge its calls: what its code calls, it does.",
            evidence=evidence,
            todo=f"Write what it may do: `perdure policy init`, then `perdure policy explain` for {agent}.",
        )
    if without:
        return Answer(
            question=question,
            state="partly",
            said="Policies outside its prompt judge its calls now; some of its segments were judged by none.",
            evidence=evidence,
            todo="See that every worker has them: the folder `policies`, or `[policies]` in perdure.toml.",
        )
    return Answer(
        question=question,
        state="yes",
        said="Policies outside its prompt have judged every call of a tool, and their verdicts are in the journals.",
        evidence=evidence,
        todo=None,
    )


def _measured(agent: str, lines: Sequence[AgentLine]) -> Answer:
    said = sum(line.met + line.not_met for line in lines)
    over = sum(line.over for line in lines)
    newest = max((line for line in lines if line.started), key=lambda line: (line.over > 0, line.version))
    evidence = [
        Evidence("runs that ended, of them with a known outcome", f"{_many(over)}, {_many(said)}"),
        *(
            Evidence(f"goals met by version {line.version}", _share(line.goals))
            for line in lines
            if line.goals is not None
        ),
        Evidence(f"ended well, version {newest.version}", _share(newest.success)),
    ]
    question = "Is its quality measured as strictly as an API's reliability?"
    if not said:
        return Answer(
            question=question,
            state="not yet",
            said="How its runs ended is known; whether their goals were met, nobody has said.",
            evidence=evidence,
            todo="Check goals in code (`check=`), or say it later: `perdure outcome RUN --met`.",
        )
    if said < ENOUGH:
        return Answer(
            question=question,
            state="partly",
            said=f"Of {_many(said)} runs it is known whether their goals were met: too few to promise nine of ten.",
            evidence=evidence,
            todo=f"Go on measuring: {ENOUGH} outcomes without a miss are the least that such a promise needs.",
        )
    return Answer(
        question=question,
        state="yes",
        said=f"Of {_many(said)} of {_many(over)} runs it is known whether their goals were met.",
        evidence=evidence,
        todo=None,
    )


def _many(n: int) -> str:
    return f"{n:,}"


def _times(n: int) -> str:
    return "once" if n == 1 else "twice" if n == 2 else f"{n:,} times"


def _share(found: Interval | None) -> str:
    if found is None:
        return "none yet"
    return f"{found.share:.0%} of {found.of:,} (95 % sure: {found.low:.0%} to {found.high:.0%})"


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name or 'unknown'}" for name, count in ordered[:5])
