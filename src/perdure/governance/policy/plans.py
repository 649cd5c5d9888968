"""A whole plan before the policies, step by step, as if the steps before had been done: before an agent begins at all.

    # plan.yaml
    agent: payables
    user: { name: "user:ann", grants: ["payments:write"] }
    steps:
      - tool: read_mail
        arguments: { n: 1 }
      - tool: pay
        arguments: { iban: GB33BUKB20201555555555, cents: 90000 }
        origins: { iban: 1, cents: input }     # 1: the result of the first step
        confidence: 0.9
        unknowns: []

A step that would be denied is not done, so later steps do not build on it; one that somebody has to approve is taken as
approved. An argument of which nobody says where it comes from is the model's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...core.errors import ConfigError
from ...journal import Entry, Kind
from .book import PolicyBook
from .provenance import TRUSTED, UNTRUSTED
from .stated import Stated
from .trials import CaseUser, Recorded
from .verdict import Decision, PolicyCall, Verdict, judge

__all__ = ["Judged", "Plan", "PlanStep", "judged", "read_plan", "recorded_steps"]

VOUCHED = ("input", TRUSTED)
"""Origins that the owner vouches for."""
_ORIGINS = (*VOUCHED, UNTRUSTED, "model")


class PlanStep(BaseModel):
    """A call that is planned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    arguments: dict[str, Any] = {}
    origins: Mapping[str, int | str] = {}
    """where arguments come from, by name: `input`, `trusted`, `untrusted`, `model`, or the number of an earlier step"""
    confidence: Any = None
    unknowns: Any = None


class Plan(BaseModel):
    """What an agent means to do, for whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: str
    steps: tuple[PlanStep, ...] = Field(min_length=1)
    user: CaseUser = CaseUser()
    tenant: str = "default"
    task: str | None = None
    called: tuple[str, ...] = ()
    """tools that were called before the plan begins"""
    seen: tuple[str, ...] = ()
    """labels of what was read before"""
    spent: int = 0
    hour: int | None = Field(None, ge=0, le=23)
    """UTC; None: now"""
    weekday: int | None = Field(None, ge=1, le=7)


@dataclass(frozen=True, slots=True)
class Judged:
    """One step, and what the policies say of it."""

    step: str
    """its number in the plan, or its key in the run"""
    tool: str
    arguments: Mapping[str, Any] | None
    """None: nobody knows"""
    verdict: Verdict | None
    """None: it cannot be told without the arguments"""
    before: str | None = None
    """of a run: what was said of it then"""

    @property
    def allowed(self) -> bool:
        """Whether it passes without a word of anybody."""
        return self.verdict is not None and self.verdict.decision == Decision.ALLOW


def read_plan(path: Path) -> Plan:
    """A plan in YAML or JSON. Raises `ConfigError`."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError('plans need PyYAML: `pip install "perdure[policy]"`') from None
    try:
        plan = Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"`{path}` cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"`{path}`: `{place}`: {first['msg']}") from error
    for number, step in enumerate(plan.steps, 1):
        for argument, origin in step.origins.items():
            if isinstance(origin, int) and not 0 < origin < number:
                raise ConfigError(
                    f"`{path}`: step {number}: `{argument}` comes from step `{origin}`, which is no earlier one"
                )
            if isinstance(origin, str) and origin not in _ORIGINS:
                raise ConfigError(
                    f"`{path}`: step {number}: `{argument}` comes from `{origin}`; write {', '.join(_ORIGINS)}, or the "
                    "number of an earlier step"
                )
    return plan


def judged(book: PolicyBook, plan: Plan, *, at: datetime) -> Iterator[Judged]:
    """What the policies say of each step of a plan. `at`: when it is taken to happen, where the plan does not say."""
    tools = book.policies.schema.tools
    verified = bool(plan.user.grants) if plan.user.verified is None else plan.user.verified
    called, seen = set(plan.called), set(plan.seen)
    labels: list[frozenset[str]] = []
    for number, step in enumerate(plan.steps, 1):
        form = tools.get(step.tool)
        effect = "write" if form is None else form.effect
        trust = {name: _trust(step.origins.get(name, "model"), labels) for name in step.arguments}
        asks = book.policies.asks_how_sure(plan.agent, step.tool, effect)
        call = PolicyCall(
            agent=plan.agent,
            tool=step.tool,
            arguments=step.arguments,
            tenant=plan.tenant,
            task=plan.task,
            user=plan.user.name,
            verified=verified,
            grants=frozenset(plan.user.grants),
            called=frozenset(called),
            seen=frozenset(seen),
            untrusted=frozenset(name for name, said in trust.items() if said == UNTRUSTED),
            unvouched=frozenset(name for name, said in trust.items() if said != TRUSTED),
            stated=Stated.of(step.confidence, step.unknowns) if asks else None,
            spent=plan.spent,
            hour=at.hour if plan.hour is None else plan.hour,
            weekday=at.isoweekday() if plan.weekday is None else plan.weekday,
        )
        verdict = judge(book.policies, call)
        labels.append(frozenset() if form is None else form.labels)
        if verdict.decision != Decision.DENY:
            called.add(step.tool)
            seen |= labels[-1] - {TRUSTED}
        yield Judged(str(number), step.tool, step.arguments, verdict)


def _trust(origin: int | str, labels: Sequence[frozenset[str]]) -> str:
    """`trusted`, `untrusted`, or neither."""
    if isinstance(origin, str):
        return TRUSTED if origin in VOUCHED else origin
    found = labels[origin - 1]
    return UNTRUSTED if UNTRUSTED in found else TRUSTED if TRUSTED in found else "model"


def recorded_steps(
    book: PolicyBook, entries: Iterable[Entry], *, agent: str, tenant: str
) -> Iterator[Judged]:
    """What policies say of the calls that a run has made, in their order: with the facts as they were recorded then.

    Of reads that no policy looked at the journal has no arguments; they count as called all the same.
    """
    tools = book.policies.schema.tools
    calls: dict[str, tuple[str, PolicyCall | None, str | None]] = {}
    called: set[str] = set()
    seen: set[str] = set()
    for entry in entries:
        if entry.erased or entry.kind not in (Kind.VERDICT, Kind.INTENT, Kind.RESULT):
            continue
        told: Any = pydantic_core.from_json(entry.payload)
        if entry.kind == Kind.VERDICT and (was := Recorded.of(tenant, "", entry.key, told)) is not None:
            calls[entry.key] = was.tool, was.call, str(was.decision)
        elif entry.kind == Kind.INTENT and entry.key not in calls:
            call = PolicyCall(
                agent=agent,
                tool=told["tool"],
                arguments=told.get("arguments") or {},
                tenant=tenant,
                called=frozenset(called),
                seen=frozenset(seen),
            )
            calls[entry.key] = call.tool, call, None
        elif entry.kind == Kind.RESULT:
            name = entry.key.rpartition("/")[2].partition(":")[0]
            if entry.key not in calls and name in tools and tools[name].effect == "read":
                calls[entry.key] = name, None, None
            if entry.key in calls and (form := tools.get(calls[entry.key][0])) is not None:
                seen |= form.labels - {TRUSTED}
        if entry.key in calls and entry.kind != Kind.VERDICT:
            called.add(calls[entry.key][0])
    for key, (tool, call, before) in calls.items():
        if call is not None:
            yield Judged(key, tool, call.arguments, judge(book.policies, call), before)
            continue
        anything = PolicyCall(agent=agent, tool=tool, arguments={}, tenant=tenant)
        constant = book.policies.bench(agent, tool).constant
        yield Judged(key, tool, None, judge(book.policies, anything) if constant else None)
