"""Agents: registered functions with a version, and the types of what goes in and comes out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import ValidationError

from ..core.codec import Shape, return_shape, shape_of, type_hints
from ..core.errors import ConfigError, InvalidInput, Unserialisable
from ..core.failures import FailureClass
from ..core.ids import check_id
from ..core.labels import check_labels, check_priority
from ..core.principal import check_grants
from ..core.rings import ANY_ACTION, Ring
from ..governance.budgets import Budget
from ..journal import ENDINGS
from .boundary.retry import Retry
from .conversation.stuck import StuckRules
from .progress.asked import Asks, handed_over
from .tasks import Tasks

__all__ = ["Agent", "AgentName", "OnFailure"]

OnFailure: TypeAlias = Literal["escalate", "partial", "fail", "compensate"]
"""What an error that the agent's function does not catch makes of the run; `compensate`: undone, then failed."""

_ON_FAILURE = ("escalate", "partial", "fail", "compensate")


class AgentName(NamedTuple):
    """An agent of which only this is known here."""

    name: str
    version: str
    priority: int = 0
    needs: tuple[str, ...] = ()
    series: str | None = None


@dataclass(frozen=True, eq=False)
class Agent:
    """A function `async def agent(run: Run, input: T) -> R`, or without `input`, under a name and a version."""

    function: Callable[..., Awaitable[Any]]
    name: str
    version: str
    limit: int | None = None
    """runs at once, over all workers, tenants and versions"""
    limit_per_tenant: int | None = None
    """the same, of each tenant"""
    priority: int = 0
    """of its runs, where their start says no other"""
    needs: tuple[str, ...] = ()
    """labels that a worker must have to run it, where a start says no other"""
    retention: Mapping[str, timedelta] = field(default_factory=dict[str, timedelta])
    """how long after its end a run keeps what it recorded, by how it ended; goes before the settings"""
    retry: Retry | None = None
    """of its model turns and tools, where those say no other"""
    on_failure: Mapping[FailureClass, OnFailure] = field(default_factory=dict[FailureClass, OnFailure])
    """how a run ends that is left by an error, by its class; the names of classes will do"""
    escalate_to: str | None = None
    """the contact for its escalations; None: that of the settings"""
    stuck: StuckRules | None = None
    """when it counts as stuck, where a call of `run.model` says no other"""
    check: Callable[..., Any] | None = None
    """`check(run, result)`: whether the result is what was asked for; see `checking`"""
    repair: Callable[..., Any] | None = None
    """`repair(run, result, why)`: a better result, once"""
    on_failed_check: Literal["partial", "escalate"] = "escalate"
    budget: Budget | None = None
    """of each of its runs"""
    requires: frozenset[str] = frozenset()
    """grants that the user must have for whom it is to run"""
    tasks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """what it is there for: types of input by name; none: whatever fits its signature"""
    zones: frozenset[str] | None = None
    """its tools' zones: others do not exist for it; None: all"""
    rings: Mapping[str, Ring] = field(default_factory=dict[str, Ring])
    """the trust rings in which its actions begin, by the tool's name, and `*` for those that are not named"""
    series: str | None = None
    """the series that its runs are of, where their start says no other; children are of their parent's"""
    mcp: bool = False
    """whether MCP clients are offered it as a tool"""
    tools: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """the tools of its app, by name: those that drafts are released by"""
    known_tasks: Tasks | None = field(init=False)
    input: Shape[Any] | None = field(init=False)
    """None: the agent takes no input"""
    handover: Asks | None = field(init=False)
    """the parameter that is handed what the runs before of its series have left; None: it asks for that itself"""
    output: Shape[Any] = field(init=False)

    def __post_init__(self) -> None:
        check_id(self.name, what="an agent's name")
        check_id(self.version, what="an agent's version")
        for what, most in (("limit", self.limit), ("limit_per_tenant", self.limit_per_tenant)):
            if most is not None and (isinstance(most, bool) or most < 1):
                raise ConfigError(f"agent `{self.name}`: `{what}={most}` is not a number of runs from 1")
        check_priority(self.priority)
        if self.budget is not None:
            self.budget.for_run(f"agent `{self.name}`")
        for ending, after in self.retention.items():
            if ending not in ENDINGS:
                raise ConfigError(
                    f"agent `{self.name}`: retention for `{ending}`, which is no ending; those are "
                    f"{', '.join(sorted(ENDINGS))}"
                )
            if not isinstance(after, timedelta) or after <= timedelta():  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(
                    f"agent `{self.name}`: retention `{after}` is not a timedelta above nothing"
                )
        object.__setattr__(self, "on_failure", self._answers())
        if self.on_failed_check not in ("partial", "escalate"):
            raise ConfigError(
                f"agent `{self.name}`: `on_failed_check={self.on_failed_check}` is not one of partial, escalate"
            )
        if self.repair is not None and self.check is None:
            raise ConfigError(f"agent `{self.name}` has a `repair`, and no `check` that would ask for it")
        requires = check_grants(self.requires, what=f"agent `{self.name}`")
        object.__setattr__(self, "requires", requires)
        if self.series is not None:
            check_id(self.series, what="a series")
        if self.escalate_to is not None:
            check_id(self.escalate_to, what="a contact")
        object.__setattr__(self, "needs", check_labels(self.needs, what="a need"))
        if not inspect.iscoroutinefunction(self.function):
            raise ConfigError(
                f"agent `{self.name}` must be an `async def`; sync code goes into steps and tools, which may be sync"
            )
        asks = handed_over(self.function)
        object.__setattr__(self, "handover", asks)
        parameters = [
            p
            for p in inspect.signature(self.function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            and (asks is None or p.name != asks.parameter)
        ]
        if not 1 <= len(parameters) <= 2:
            raise ConfigError(
                f"agent `{self.name}` takes {len(parameters)} parameters; write `async def agent(run: Run, input: T)`, "
                "with one input (a pydantic model where there are several values)"
            )
        shape = None
        if len(parameters) == 2:
            shape = shape_of(type_hints(self.function).get(parameters[1].name, Any))
        object.__setattr__(self, "input", shape)
        if self.tasks and shape is None:
            raise ConfigError(
                f"agent `{self.name}` has tasks, and takes no input: write `async def agent(run, input)`"
            )
        object.__setattr__(self, "known_tasks", Tasks(self.name, self.tasks) if self.tasks else None)
        object.__setattr__(self, "output", return_shape(self.function))

    def _answers(self) -> dict[FailureClass, OnFailure]:
        known = [str(failure) for failure in FailureClass]
        for failure, answer in self.on_failure.items():
            if str(failure) not in known or answer not in _ON_FAILURE:
                raise ConfigError(
                    f"agent `{self.name}`: `on_failure` has `{failure}: {answer}`; classes of failure are "
                    f"{', '.join(known)}, and what may follow is {', '.join(_ON_FAILURE)}"
                )
        return {FailureClass(str(failure)): answer for failure, answer in self.on_failure.items()}

    def starts_in(self, action: str) -> Ring | None:
        """The trust ring in which an action begins; None: the agent does not say."""
        return self.rings.get(action, self.rings.get(ANY_ACTION))

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def dump_input(self, value: Any) -> bytes:
        """The input's bytes. Raises `InvalidInput`, and its kind `TaskRefused`."""
        if self.known_tasks is not None:
            return self.known_tasks.dump(value)
        if self.input is None:
            if value is not None:
                raise InvalidInput(f"agent `{self.name}` takes no input, and was given `{str(value)[:80]}`")
            return b"null"
        try:
            return self.input.round_trip(value)[0]
        except Unserialisable as error:
            raise InvalidInput(f"agent `{self.name}` cannot take this input: {error}") from error

    def load_input(self, data: bytes) -> tuple[Any, ...]:
        """The arguments after `run`. Raises `InvalidInput`, and its kind `TaskRefused`."""
        if self.known_tasks is not None:
            return (self.known_tasks.load(data),)
        if self.input is None:
            if data != b"null":
                raise InvalidInput(
                    f"agent `{self.name}` takes no input, and was given `{data[:80].decode()}`"
                )
            return ()
        try:
            return (self.input.load(data),)
        except ValidationError as error:
            raise InvalidInput(f"agent `{self.name}` cannot take this input: {error}") from error
