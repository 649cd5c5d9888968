"""Policies on trial: cases that stand beside them, what two versions differ in, and old decisions judged anew.

# policies/payables.test.yaml
- name: rent is paid
  agent: payables
  tool: pay
  arguments: { iban: DE89370400440532013000, cents: 90000 }
  user: { name: "user:ann", grants: ["payments:write"] }
  expect: allow
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...core.errors import ConfigError
from ...core.rings import Ring
from .book import PolicyBook
from .policies import PolicyFile
from .stated import Stated
from .statements import statements
from .verdict import Decision, PolicyCall, Verdict, judge

__all__ = ["Backtest", "Case", "Difference", "Outcome", "Recorded", "differences", "read_cases", "tried"]


class CaseUser(BaseModel):
    """On whose behalf a case acts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    verified: bool | None = None
    """without it: if there are grants"""
    grants: tuple[str, ...] = ()


class Case(BaseModel):
    """A call, and what the policies must say of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    agent: str
    tool: str
    arguments: dict[str, Any] = {}
    expect: Literal["allow", "needs_approval", "deny"]
    by: tuple[str, ...] | None = None
    """ids of the policies that must have decided, where it matters"""
    user: CaseUser = CaseUser()
    tenant: str = "default"
    task: str | None = None
    approvals: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()
    unvouched: tuple[str, ...] = ()
    confidence: float = Field(1.0, ge=0, le=1)
    """as if the model had stated it"""
    unknowns: tuple[str, ...] = ()
    spent: int = 0
    hour: int = 12
    weekday: int = 1
    ring: Ring = Ring.NONE

    def call(self) -> PolicyCall:
        """As policies see it."""
        verified = bool(self.user.grants) if self.user.verified is None else self.user.verified
        return PolicyCall(
            agent=self.agent,
            tool=self.tool,
            arguments=self.arguments,
            tenant=self.tenant,
            task=self.task,
            user=self.user.name,
            verified=verified,
            grants=frozenset(self.user.grants),
            approvals=frozenset(self.approvals),
            called=frozenset(self.called),
            seen=frozenset(self.seen),
            untrusted=frozenset(self.untrusted),
            unvouched=frozenset(self.unvouched),
            stated=Stated(self.confidence, self.unknowns, said=True),
            spent=self.spent,
            hour=self.hour,
            weekday=self.weekday,
            ring=str(self.ring),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case."""

    case: Case
    file: str
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether the policies say what they must."""
        expected = self.verdict.decision == self.case.expect
        return expected and (self.case.by is None or set(self.case.by) == set(self.verdict.policies))


_CASES: TypeAdapter[list[Case]] = TypeAdapter(list[Case])


def read_cases(folder: Path) -> Iterator[tuple[str, Case]]:
    """The cases in `*.test.yaml` below a folder, with their file. Raises `ConfigError`."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError('tests of policies need PyYAML: `pip install "perdure[policy]"`') from None
    for path in sorted(folder.rglob("*.test.yaml")):
        try:
            told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
            cases = _CASES.validate_python(told or [])
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"`{path}` cannot be read: {error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"`{path}`: case `{place}`: {first['msg']}") from error
        for case in cases:
            yield str(path), case


def tried(book: PolicyBook, cases: Iterable[tuple[str, Case]]) -> Iterator[Outcome]:
    """What the policies say of each case."""
    for file, case in cases:
        yield Outcome(case, file, judge(book.policies, case.call()))


@dataclass(frozen=True, slots=True)
class Difference:
    """A policy that is in one version and not, or not the same, in another."""

    id: str
    what: Literal["added", "removed", "changed"]
    before: str = ""
    after: str = ""


def differences(before: Sequence[PolicyFile], after: Sequence[PolicyFile]) -> list[Difference]:
    """What differs between two versions, policy by policy."""
    old, new = _by_id(before), _by_id(after)
    found: list[Difference] = []
    for id in sorted(old.keys() | new.keys()):
        if id not in new:
            found.append(Difference(id, "removed", before=old[id]))
        elif id not in old:
            found.append(Difference(id, "added", after=new[id]))
        elif old[id] != new[id]:
            found.append(Difference(id, "changed", old[id], new[id]))
    return found


def _by_id(files: Sequence[PolicyFile]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        for statement in statements(file.text, file.name):
            _, _, rest = statement.text.partition('@id("')
            id = rest.partition('"')[0] or statement.place()
            found[id] = f"// {file.layer}\n{statement.text}"
    return found


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as the journal holds it."""

    tenant: str
    run: str
    step: str
    tool: str
    decision: Decision
    call: PolicyCall

    @classmethod
    def of(cls, tenant: str, run: str, step: str, told: Mapping[str, Any]) -> Recorded | None:
        """From a VERDICT; None where it is of another stage, or says too little."""
        if told.get("stage") != "policy" or "call" not in told:
            return None
        call = PolicyCall.recorded(told["tool"], told["call"])
        return cls(tenant, run, step, told["tool"], Decision(told["verdict"]), call)


@dataclass(slots=True)
class Backtest:
    """Old decisions, judged by a candidate."""

    book: PolicyBook
    judged: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """how many went from what to what, those that stayed included"""
    examples: dict[tuple[str, str], list[tuple[Recorded, Verdict]]] = field(
        default_factory=dict[tuple[str, str], list[tuple[Recorded, Verdict]]]
    )
    most: int = 5
    """examples of each change"""

    def see(self, recorded: Recorded) -> None:
        """Judge one more."""
        verdict = judge(self.book.policies, recorded.call)
        change = str(recorded.decision), str(verdict.decision)
        self.judged += 1
        self.changes[change] += 1
        if change[0] != change[1]:
            kept = self.examples.setdefault(change, [])
            if len(kept) < self.most:
                kept.append((recorded, verdict))

    @property
    def same(self) -> bool:
        """Whether it would have decided everything as it was decided."""
        return all(before == after for before, after in self.changes)
