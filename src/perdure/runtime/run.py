"""`Run`: what an agent's function is handed, and the only door to the journal."""

from __future__ import annotations

import random as random_module
import uuid as uuid_module
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload

import pydantic_core

from ..core.clock import from_micros
from ..core.codec import returns, shape_of
from ..core.errors import ConfigError
from ..journal import Change, Kind
from . import effects, parallel, patches, waits
from .agent import Agent
from .control import Unwind
from .doubt import EffectCall
from .parallel import Branch, Winner
from .recorder import Recorder
from .schedule import SCHEDULED_AT
from .scope import Scope, current_scope
from .tool import Effect, Tool, as_tool
from .waits import Answer

if TYPE_CHECKING:
    from .segment import Surroundings

__all__ = ["Run"]

P = ParamSpec("P")
T = TypeVar("T")


class Run:
    """One execution of an agent. Every effect goes through it, so that it is recorded once and replayed after.

    Code between steps runs again on replay: what is slow, or must not happen twice, belongs into a step.
    """

    def __init__(
        self, recorder: Recorder, surroundings: Surroundings, *, agent: Agent, labels: Mapping[str, str]
    ) -> None:
        self._recorder = recorder
        self._surroundings = surroundings
        self._agent = agent
        self._labels = dict(labels)

    # who and where ---------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id, unique in its tenant."""
        return self._recorder.ref.id

    @property
    def tenant(self) -> str:
        """The tenant that the run belongs to."""
        return self._recorder.ref.tenant

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it was started with."""
        return dict(self._labels)

    @property
    def scheduled_at(self) -> datetime | None:
        """The time for which a schedule started it, as its cron says, not when it began; None: no schedule did."""
        at = self._labels.get(SCHEDULED_AT)
        return None if at is None else datetime.fromisoformat(at)

    @property
    def cancelled(self) -> bool:
        """Whether the run has been cancelled; its steps go on only under `shield`."""
        return self._recorder.cancel is not None

    # steps and tools -------------------------------------------------------------------------------------------

    @overload
    async def step(
        self, name: str, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any
    ) -> T: ...
    @overload
    async def step(self, name: str, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...
    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        effect: Effect = "read",
        verify: Callable[..., Any] | None = None,
        timeout: timedelta | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call `function(*args, **kwargs)` once, record what it returns, and return that.

        Sync functions run in a thread. A plain step is repeatable: after a crash in its middle it runs again. With
        `effect="write"` or `"idempotent"` it goes by intent, effect and result, as a tool does. Raises what the
        function raised, as its own type; `Unserialisable` for a result that cannot be kept; `RunCancelled`.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            if effect == "read" and timeout is None:
                shape, asynchronous = returns(function)
                return await effects.repeat(
                    recorder, scope, key, function, args, kwargs, shape=shape, asynchronous=asynchronous
                )
            tool: Tool[..., Any] = Tool(function, name=name, effect=effect, verify=verify, timeout=timeout)
            return await effects.perform(recorder, scope, key, tool, args, kwargs)
        finally:
            scope.busy = ""

    @overload
    async def call(self, tool: Tool[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, tool: Tool[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, tool: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, tool: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def call(self, tool: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a tool, by its declared effect; a bare function counts as an undeclared `write`.

        A write that crashes, raises, times out or is cancelled after its intent is in doubt: its `verify` is asked,
        then a human; the call returns only when it is settled.
        """
        declared: Tool[..., Any] = as_tool(tool)
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(declared.name)
        try:
            return await effects.perform(recorder, scope, key, declared, args, kwargs)
        finally:
            scope.busy = ""

    async def compensate(self) -> list[str]:
        """Undo the finished writes that declare `compensate`, the last first. Returns the keys of what was undone.

        Each undoing is an idempotent step of its own; it goes on where it stopped after a crash.
        """
        undone: list[str] = []
        while self._recorder.undo:
            call: EffectCall = self._recorder.undo.pop()
            undo = call.tool.compensate
            assert undo is not None
            scope = current_scope(self._recorder)
            key = scope.enter(f"undo.{call.tool.name}")
            tool: Tool[..., Any] = Tool(undo, name=f"undo.{call.tool.name}", effect="idempotent")
            try:
                await effects.perform(self._recorder, scope, key, tool, (), dict(call.arguments))
            finally:
                scope.busy = ""
            undone.append(call.key)
        return undone

    # models ----------------------------------------------------------------------------------------------------

    @overload
    async def model(
        self,
        model: str,
        prompt: Any,
        *,
        output: type[T],
        tools: Sequence[Any] = ...,
        system: str | None = ...,
        name: str = ...,
        max_turns: int = ...,
        settings: Mapping[str, Any] | None = ...,
    ) -> T: ...
    @overload
    async def model(
        self,
        model: str,
        prompt: Any,
        *,
        output: Any = ...,
        tools: Sequence[Any] = ...,
        system: str | None = ...,
        name: str = ...,
        max_turns: int = ...,
        settings: Mapping[str, Any] | None = ...,
    ) -> Any: ...
    async def model(
        self,
        model: str,
        prompt: Any,
        *,
        output: Any = str,
        tools: Sequence[Any] = (),
        system: str | None = None,
        name: str = "model",
        max_turns: int = 10,
        settings: Mapping[str, Any] | None = None,
    ) -> Any:
        """Ask a model (`provider:name`, or `scripted:PATH`), and return its answer as `output`.

        With `tools` it is a bounded loop: the model may call them, each call crosses the boundary by its declared
        effect, and the transcript is the journal. An answer that does not fit is sent back once with the error.
        Raises `InvalidOutput`, `TurnLimit`, and the provider's own errors.
        """
        from .model import converse

        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            return await converse(
                recorder,
                Scope(recorder, f"{key}/", parent=scope, shielded=scope.shielded),
                self._surroundings.models,
                model=model,
                prompt=prompt,
                output=output,
                tools=[as_tool(t) for t in tools],
                system=system,
                max_turns=max_turns,
                settings=dict(settings or {}),
            )
        finally:
            scope.busy = ""

    # branches --------------------------------------------------------------------------------------------------

    @overload
    async def gather(self, *works: Awaitable[T]) -> list[T]: ...
    @overload
    async def gather(self, *works: Awaitable[Any], return_exceptions: bool) -> list[Any]: ...
    async def gather(self, *works: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
        """Run several at once, each in a scope of its own; wait for all; results in the order given.

        Raises the first error by position, after all have finished.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("gather")
        try:
            return await parallel.gather(recorder, scope, key, works, return_exceptions=return_exceptions)
        finally:
            scope.busy = ""

    async def first(self, *works: Awaitable[T]) -> Winner[T]:
        """Run several at once until one finishes: `(which, value)` of that one. The others are cancelled.

        Raises what the winner raised. The winner is recorded, so a race replays as it went.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("first")
        try:
            return await parallel.first(recorder, scope, key, works)
        finally:
            scope.busy = ""

    def branch(self, name: str, work: Awaitable[T]) -> Branch[T]:
        """Start `work` beside what follows, in a scope of its own; await the branch for its result."""
        recorder = self._recorder
        scope = current_scope(recorder)
        if recorder.halted is not None:
            parallel.discard((work,))
            raise Unwind
        return parallel.spawn(recorder, scope, scope.moment(name), work)

    # waiting ---------------------------------------------------------------------------------------------------

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait for a time (seconds or a timedelta). A second or more holds no worker."""
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("sleep")
        try:
            await waits.sleep(recorder, scope, key, duration)
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

    async def ask(
        self,
        question: str,
        *,
        show: Any = None,
        choices: Sequence[str] | None = None,
        timeout: timedelta | None = None,
        name: str = "ask",
    ) -> Answer:
        """Put a question to a human, with what it is about (`show`), and wait; days hold no worker.

        The answer is true where it was approved. Without an answer in time it is a no (`answer.expired`).
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            return await waits.ask(
                recorder,
                scope,
                key,
                question,
                show=show,
                choices=None if choices is None else list(choices),
                timeout=timeout,
                agent=self._agent.name,
            )
        finally:
            scope.busy = ""

    async def child(
        self, agent: Agent | str, input: Any = None, *, labels: Mapping[str, str] | None = None
    ) -> Any:
        """Run another agent as a run of its own and return its result; meanwhile no worker is held.

        The child inherits the labels. It is cancelled when this run is cancelled while it waits for it. Raises
        `RunFailed` where the child did not succeed.
        """
        found = self._surroundings.agent(agent)
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(found.name)
        merged = {**self._labels, **(labels or {})}
        try:
            return await waits.child(
                recorder, scope, key, found, input, labels=merged, deadline=self._surroundings.deadline
            )
        finally:
            scope.busy = ""

    async def continue_as_new(self, input: Any = None) -> NoReturn:
        """End here and begin again with `input`, as the same run: for agents that never end.

        Never returns. What was recorded so far is not replayed any more; the id, the labels and the parent stay, and so
        do signals that no step has received yet. Raises `InvalidInput`, `ConcurrentScope` while branches are open, and
        `RunCancelled` in a cancelled run.
        """
        from .generations import ask_to_begin_again

        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter("continue_as_new")
        try:
            await ask_to_begin_again(recorder, scope, key, self._agent, input)
        finally:
            scope.busy = ""

    # recorded moments ------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The time, as it was when this was first asked (UTC)."""
        return from_micros(self._value("now", self._recorder.store.now))

    def uuid(self) -> uuid_module.UUID:
        """A random UUID, the same in every replay."""
        return uuid_module.UUID(self._value("uuid", lambda: str(uuid_module.uuid4())))

    def random(self) -> float:
        """A random number in [0, 1), the same in every replay."""
        return self._value("random", random_module.random)

    def patched(self, name: str) -> bool:
        """Whether this run takes the new way at a change of its program: True where it comes here for the first time.

        False for a run that had passed here with the code before. The first call of a name decides for the whole run.
        Write `if run.patched("check-credit"): ... else: ...`, the new way and the old, until no run needs the old.
        """
        return patches.patched(self._recorder, name)

    def _value(self, name: str, make: Callable[[], Any]) -> Any:
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.moment(name)
        mark = recorder.mark(name.encode())
        record = recorder.take(key, mark) if recorder.unconsumed else None
        if record is not None and record.final is not None:
            return pydantic_core.from_json(record.final.payload)
        self._moment_may_be_live(scope, key)
        value = make()
        recorder.write(Kind.VALUE, key, pydantic_core.to_json(value), fingerprint=mark)
        return value

    def _moment_may_be_live(self, scope: Scope, key: str) -> None:
        recorder = self._recorder
        if recorder.halted is not None or recorder.releasing:
            raise Unwind
        recorder.check_cut(scope)
        if recorder.unconsumed:
            recorder.check_frontier(scope, key)

    # traces ----------------------------------------------------------------------------------------------------

    async def decide(
        self,
        name: str,
        options: Sequence[Any],
        choice: T,
        *,
        reason: str | None = None,
        confidence: float | None = None,
        unknowns: Sequence[str] | None = None,
    ) -> T:
        """Record a decision: the options, the one taken, why, how sure (0 to 1), what is not known. Returns `choice`.

        What is left out is recorded as absent, not as empty.
        """
        if confidence is not None and not 0 <= confidence <= 1:
            raise ConfigError(f"confidence `{confidence}` is not between 0 and 1")
        payload = pydantic_core.to_json(
            {
                "options": list(options),
                "choice": choice,
                "reason": reason,
                "confidence": confidence,
                "unknowns": None if unknowns is None else list(unknowns),
            },
            fallback=repr,
        )
        self._note(Kind.DECISION, name, payload, None)
        return choice

    def progress(
        self, what: str, *, done: int | None = None, total: int | None = None, **detail: Any
    ) -> None:
        """Say how far the run has come: listings show it, and whoever goes on with the work reads it."""
        recorder = self._recorder
        note = {"what": what, "done": done, "total": total, "at": recorder.store.now(), **detail}
        self._note(Kind.PROGRESS, "progress", pydantic_core.to_json(note, fallback=repr), True)

    def _note(self, kind: Kind, name: str, payload: bytes, progress: bool | None) -> None:
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.moment(name)
        mark = recorder.mark(kind.name.encode())
        record = recorder.take(key, mark) if recorder.unconsumed else None
        if record is None:
            self._moment_may_be_live(scope, key)
            change = Change(progress=payload.decode()) if progress else None
            recorder.write(kind, key, payload, fingerprint=mark, change=change)

    # cancellation ----------------------------------------------------------------------------------------------

    @contextmanager
    def shield(self) -> Generator[None]:
        """Within it steps go on although the run was cancelled: for cleaning up."""
        scope = current_scope(self._recorder)
        before = scope.shielded
        scope.shielded = True
        try:
            yield
        finally:
            scope.shielded = before
