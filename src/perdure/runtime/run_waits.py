"""The run's waits: timers, signals, questions, other agents, and beginning again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast, overload

from ..core.codec import shape_of
from ..core.errors import ApprovalDenied, ConfigError, WaitTimeout
from ..core.principal import check_grants
from ..governance.budgets import Budget
from . import waits
from .agent import Agent
from .replay.scope import current_scope
from .run_base import RunBase
from .waits import Answer

__all__ = ["RunWaits"]

T = TypeVar("T")
_NONE: Any = object()
"""No default: None may be one."""


class RunWaits(RunBase):
    """What a run can wait for. While it lasts no worker is held."""

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait for a time (seconds or a timedelta). A second or more holds no worker."""
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("sleep")
        try:
            await waits.sleep(recorder, scope, key, duration)
        finally:
            scope.busy = ""

    async def defer(self, until: datetime | timedelta, reason: str = "") -> None:
        """Put the work off: the run waits as a row, listed as `deferred` with the reason, and goes on at that time."""
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("defer")
        try:
            await waits.defer(recorder, scope, key, until, reason)
        finally:
            scope.busy = ""

    @overload
    async def receive(self, name: str, type_: type[T], *, timeout: timedelta | None = None) -> T: ...
    @overload
    async def receive(self, name: str, *, timeout: timedelta | None = None) -> Any: ...
    async def receive(self, name: str, type_: Any = Any, *, timeout: timedelta | None = None) -> Any:
        """Wait for the signal `name`; it may have come before. Signals of a name are taken in their order.

        Raises `WaitTimeout`, and `InvalidInput` where the payload does not fit `type_`.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            return await waits.receive(recorder, scope, key, name, shape_of(type_), timeout)
        finally:
            scope.busy = ""

    @overload
    async def ask(
        self,
        question: str,
        *,
        answer: type[T],
        show: Any = ...,
        timeout: timedelta | None = ...,
        default: T = ...,
        name: str = ...,
    ) -> T: ...
    @overload
    async def ask(
        self,
        question: str,
        *,
        answer: Sequence[str],
        show: Any = ...,
        timeout: timedelta | None = ...,
        default: str = ...,
        name: str = ...,
    ) -> str: ...
    @overload
    async def ask(
        self,
        question: str,
        *,
        show: Any = ...,
        choices: Sequence[str] | None = ...,
        timeout: timedelta | None = ...,
        name: str = ...,
    ) -> Answer: ...
    async def ask(
        self,
        question: str,
        *,
        answer: Any = None,
        show: Any = None,
        choices: Sequence[str] | None = None,
        timeout: timedelta | None = None,
        default: Any = _NONE,
        name: str = "ask",
    ) -> Any:
        """Put a question to a human, with what it is about (`show`), and wait; days hold no worker.

        The answer is true where it was approved. Without an answer in time it is a no (`answer.expired`).

        With `answer` (a pydantic model or another type, or a list of choices) the value itself is returned: one that
        fits, for others are refused and the question stays open. Then a no raises `ApprovalDenied`, and no answer in
        time `WaitTimeout`; with `default`, that value is returned then. It is recorded with the question.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        one_of = isinstance(answer, list | tuple)
        if one_of:
            choices = [str(choice) for choice in cast("Sequence[Any]", answer)]
        form = shape_of(str if one_of else answer) if answer is not None else None
        if default is not _NONE and (form is None or timeout is None):
            raise ConfigError(
                "`default` is what a question gives that has a `timeout` and an `answer`: give both"
            )
        try:
            given = await waits.ask(
                recorder,
                scope,
                key,
                question,
                show=show,
                choices=None if choices is None else list(choices),
                timeout=timeout,
                agent=self._agent.name,
                form=form,
                default=None if default is _NONE else (default,),
            )
        finally:
            scope.busy = ""
        if answer is None:
            return given
        if given.expired and not given.approved:
            raise WaitTimeout(f"nobody answered `{question[:80]}` within {timeout}")
        if not given:
            denied = ApprovalDenied(f"{given.by} did not answer `{question[:80]}`: {given.reason}")
            denied.by, denied.reason = given.by, given.reason
            raise denied
        return given.value

    async def child(
        self,
        agent: Agent | str,
        input: Any = None,
        *,
        labels: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        grants: Iterable[str] | None = None,
    ) -> Any:
        """Run another agent as a run of its own and return its result; meanwhile no worker is held.

        The child inherits the labels. `budget` is carved out of this run's; what that does not say, and without one, is
        a share of what is left. What the child does not spend comes back with its ending. It is cancelled when this run
        is cancelled while it waits for it. Raises `RunFailed` where the child did not succeed.

        The child acts for the same user. `grants` are the only ones that it is to have of those that the user has in
        this run; without it, all. It never has more: then it is not started, and `Refused` is raised.
        """
        found = self._surroundings.agent(agent)
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(found.name)
        merged = {**self._labels, **(labels or {})}
        try:
            return await waits.child(
                recorder,
                scope,
                key,
                found,
                input,
                labels=merged,
                deadline=self._surroundings.deadline,
                budget=budget,
                grants=None if grants is None else check_grants(grants, what=f"child `{found.name}`"),
            )
        finally:
            scope.busy = ""

    async def continue_as_new(self, input: Any = None) -> NoReturn:
        """End here and begin again with `input`, as the same run: for agents that never end.

        Never returns. What was recorded so far is not replayed any more; the id, the labels and the parent stay, and so
        do signals that no step has received yet. Raises `InvalidInput`, `ConcurrentScope` while branches are open, and
        `RunCancelled` in a cancelled run.
        """
        from .replay.generations import ask_to_begin_again

        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("continue_as_new")
        try:
            await ask_to_begin_again(recorder, scope, key, self._agent, input)
        finally:
            scope.busy = ""
