"""`Run`: what an agent's function is handed, and the only door to the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ..core.codec import returns
from .boundary import effects
from .boundary.call import Called, How
from .boundary.following import followed
from .boundary.functions import within
from .boundary.retry import Retry
from .boundary.terms import Terms
from .boundary.tool import Effect, Tool, as_tool
from .conversation.stuck import StuckRules
from .ending.undoing import Undone, undo_all
from .frameworks.wrapping import wrapping_of
from .replay import parallel
from .replay.control import Unwind
from .replay.parallel import Branch, Winner
from .replay.scope import Scope, current_scope
from .run_endings import RunEndings
from .run_memory import RunMemory
from .run_progress import RunProgress
from .run_stages import RunStages
from .run_waits import RunWaits

if TYPE_CHECKING:
    from .conversation.candidates import Alternative

__all__ = ["MODEL_TIMEOUT", "Run"]

MODEL_TIMEOUT = timedelta(minutes=20)
"""Longer than a model that thinks hard needs for a turn. What takes longer hangs."""

P = ParamSpec("P")
T = TypeVar("T")


class Run(RunWaits, RunProgress, RunStages, RunEndings, RunMemory):
    """One execution of an agent. Every effect goes through it, so that it is recorded once and replayed after.

    Code between steps runs again on replay: what is slow, or must not happen twice, belongs into a step.
    """

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
        retry: Retry | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call `function(*args, **kwargs)` once, record what it returns, and return that.

        Sync functions run in a thread. A plain step is repeatable: after a crash in its middle it runs again. With
        `effect="write"` or `"idempotent"` it goes by intent, effect and result, as a tool does. An async function is
        cancelled after `timeout`. A step that fails is tried again only where `retry` says so. Raises what the
        function raised, as its own type; `Unserialisable` for a result that cannot be kept; `RunCancelled`.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            if effect == "read":
                shape, asynchronous = returns(function)
                if timeout is not None and asynchronous:
                    function = within(function, timeout.total_seconds())
                what = effects.PLAIN if retry is None else effects.Governed("step", name, Terms(retry=retry))
                if recorder.heard is not None:
                    recorder.heard.calls(key, None)
                return await effects.repeat(
                    recorder,
                    scope,
                    key,
                    function,
                    args,
                    kwargs,
                    shape=shape,
                    asynchronous=asynchronous,
                    what=what,
                )
            terms = Terms(retry=retry or Retry.NEVER)
            tool: Tool[..., Any] = Tool(
                function, name=name, effect=effect, verify=verify, timeout=timeout, terms=terms
            )
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
            value = await effects.perform(recorder, scope, key, declared, args, kwargs)
            return await followed(recorder, scope, key, declared, kwargs, value)
        finally:
            scope.busy = ""

    async def called(self, tool: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Called[Any]:
        """Call a tool as `call` does; the result comes with how it came about: live, from a cache, by a fallback."""
        declared: Tool[..., Any] = as_tool(tool)
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(declared.name)
        how = How()
        try:
            value = await effects.perform(recorder, scope, key, declared, args, kwargs, how=how)
            value = await followed(recorder, scope, key, declared, kwargs, value)
        finally:
            scope.busy = ""
        return how.called(value)

    async def compensate(self) -> Undone:
        """Undo the finished writes that declare `compensate`, the last first: what was undone, and what could not be.

        Each undoing is an idempotent step of its own, tried again where it fails; it goes on where it stopped after a
        crash. In a cancelled run call it under `run.shield()`.
        """
        return await undo_all(self._recorder, current_scope(self._recorder))

    # models ----------------------------------------------------------------------------------------------------

    @overload
    async def model(
        self,
        model: str | Sequence[str],
        prompt: Any,
        *,
        output: type[T],
        tools: Sequence[Any] = ...,
        system: str | None = ...,
        name: str = ...,
        max_turns: int = ...,
        settings: Mapping[str, Any] | None = ...,
        fallback: Alternative | Sequence[Alternative] = ...,
        larger: str | Sequence[str] = ...,
        retry: Retry | None = ...,
        timeout: timedelta | None = ...,
        max_context: int | None = ...,
        summary: str | None = ...,
        stuck: StuckRules | None = ...,
    ) -> T: ...
    @overload
    async def model(
        self,
        model: str | Sequence[str],
        prompt: Any,
        *,
        output: Any = ...,
        tools: Sequence[Any] = ...,
        system: str | None = ...,
        name: str = ...,
        max_turns: int = ...,
        settings: Mapping[str, Any] | None = ...,
        fallback: Alternative | Sequence[Alternative] = ...,
        larger: str | Sequence[str] = ...,
        retry: Retry | None = ...,
        timeout: timedelta | None = ...,
        max_context: int | None = ...,
        summary: str | None = ...,
        stuck: StuckRules | None = ...,
    ) -> Any: ...
    async def model(
        self,
        model: str | Sequence[str],
        prompt: Any,
        *,
        output: Any = str,
        tools: Sequence[Any] = (),
        system: str | None = None,
        name: str = "model",
        max_turns: int = 10,
        settings: Mapping[str, Any] | None = None,
        fallback: Alternative | Sequence[Alternative] = (),
        larger: str | Sequence[str] = (),
        retry: Retry | None = None,
        timeout: timedelta | None = MODEL_TIMEOUT,
        max_context: int | None = None,
        summary: str | None = None,
        stuck: StuckRules | None = None,
    ) -> Any:
        """Ask a model (`provider:name`, or `scripted:PATH`), and return its answer as `output`.

        With `tools` it is a bounded loop: the model may call them, each call crosses the boundary by its declared
        effect, and the transcript is the journal. An answer that does not fit is sent back once with the error.

        A turn that fails is tried again by `retry`, or as `app.models.terms`, the agent or the app say. Where that is
        of no use, the next of several models is asked, or of `fallback` (models, or `Instead(answer)`), and the
        conversation stays with it. An attempt may take `timeout`.

        A conversation that does not fit is compacted: old results go, then old turns, which the model `summary` sums
        up. Then the models in `larger` are asked. With `max_context` (tokens, estimated) it is kept below that from the
        beginning. An agent that goes round in circles (`stuck`) is warned once, then stopped.

        Raises `InvalidOutput`, `TurnLimit`, `ContextExceeded`, `Stuck`, and the provider's own errors.
        """
        from .conversation.candidates import alternatives
        from .conversation.model import converse
        from .conversation.talk import Talk

        asked = alternatives(model if isinstance(model, str) else list(model))
        talk = Talk(
            models=(*asked, *alternatives(fallback)),
            larger=(larger,) if isinstance(larger, str) else tuple(larger),
            retry=retry,
            timeout=timeout,
            max_context=max_context,
            summary=summary,
            stuck=stuck or self._agent.stuck or StuckRules(),
            max_turns=max_turns,
            settings=dict(settings or {}),
        )
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.enter(name)
        try:
            return await converse(
                recorder,
                Scope(recorder, f"{key}/", parent=scope, shielded=scope.shielded),
                self._surroundings.models,
                talk,
                prompt=prompt,
                output=output,
                tools=[as_tool(t) for t in tools],
                system=system,
            )
        finally:
            scope.busy = ""

    def wrap(self, agent: Any, *, name: str | None = None) -> Callable[..., Any]:
        """An agent of another framework as part of this run: every model turn and tool call of it is a step.

        Returns what is called as the agent would be, and gives what it would give: `await run.wrap(agent)("task")`.
        `name` is the first part of its steps' keys. Raises `ConfigError` for what no adapter knows or can cover.
        """
        adapter = self._surroundings.adapters.find(agent)
        return adapter.wrap(agent, wrapping_of(self, agent, name=name))

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
