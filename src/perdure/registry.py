"""What a program registers: agents and tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, ParamSpec, TypeVar, overload

from .core.errors import ConfigError, UnknownAgent
from .core.labels import check_labels
from .core.principal import check_grants
from .core.rings import read_rings
from .governance import Breaker, Budget, Rate
from .runtime import Agent, Cache, Effect, FailureClass, OnFailure, Retry, Rule, StuckRules, Tool, terms_of

__all__ = ["Registry"]

P = ParamSpec("P")
R = TypeVar("R")


class Registry:
    """Agents by name and version, tools by name."""

    def __init__(self) -> None:
        self.agents: dict[tuple[str, str], Agent] = {}
        self.tools: dict[str, Tool[..., Any]] = {}

    def agent(
        self,
        name: str | None = None,
        *,
        version: str = "1",
        limit: int | None = None,
        limit_per_tenant: int | None = None,
        priority: int = 0,
        needs: Iterable[str] = (),
        retention: Mapping[str, timedelta] | None = None,
        retry: Retry | None = None,
        on_failure: Mapping[FailureClass, OnFailure] | None = None,
        escalate_to: str | None = None,
        stuck: StuckRules | None = None,
        check: Callable[..., Any] | None = None,
        repair: Callable[..., Any] | None = None,
        on_failed_check: Literal["partial", "escalate"] = "escalate",
        budget: Budget | None = None,
        requires: str | Iterable[str] = (),
        tasks: Mapping[str, Any] | None = None,
        zones: Iterable[str] | None = None,
        ring: str | Mapping[str, str] | None = None,
        series: str | None = None,
        mcp: bool = False,
    ) -> Callable[[Callable[..., Awaitable[Any]]], Agent]:
        """Register a function as an agent, under a name and a version: `async def f(run: Run, input: T) -> R`.

        Several versions of a name may be registered side by side; new runs get the one registered last.

        At most `limit` runs of the agent go on at once over all workers and versions, `limit_per_tenant` of each
        tenant. Its runs have `priority` (higher goes first, within their tenant) and are run only by workers that have
        all labels that it `needs`, where `start` says no other. `retention` says, by how a run ended, how long after
        its end it keeps what it recorded; without it, and without settings, that is never taken away. `retry` holds for
        its model turns and tools that say no other, `budget` for each of its runs; `stuck` says when its conversations
        with models get nowhere.

        `on_failure` says how a run ends that is left by an error, by the error's class: `escalate`, `partial`, `fail`,
        or `compensate`: what it has done is undone first. Without it invalid output and being stuck are escalated, a
        context that is exhausted and a budget that was finished (`on_limit="finish"`) end `partial`, all else `failed`.
        `escalate_to` names the contact for its escalations.

        `check(run, result)`, plain or async, looks at the result before the run counts as succeeded; it returns a bool
        or a `Check(passed, why, evidence)`. Where it does not pass, `repair(run, result, why)` may give another result,
        once; after that the run ends as `on_failed_check` says.

        `requires` names grants (`"payments:write"`) that the user must have for whom it is to run: it is not run for
        anybody else, nor as the child of a run that has less.

        `tasks` is what it is there for: types of its input, by name. Whatever else it is asked for is refused at the
        start (`TaskRefused`), before any model is. `zones` are those of its tools: a tool of another one is not offered
        to its models, and refused. `ring` is the trust ring in which it begins (`"observe"`, `"draft"`,
        `"act_after_approval"`, `"act_and_verify"`, or `"none"`): of all that it does, or by the tool's name.

        `series` is the series that its runs are of, where their start names no other: each finds what those before it
        have left (`run.handover`, `run.next_item`). With `mcp` clients of
        `perdure mcp serve` are offered it as a tool. Raises `ConfigError`.
        """

        def register(function: Callable[..., Awaitable[Any]]) -> Agent:
            made = Agent(
                function,
                name or function.__name__.replace("_", "-"),
                version,
                limit=limit,
                limit_per_tenant=limit_per_tenant,
                priority=priority,
                needs=check_labels(needs, what="a need"),
                retention=dict(retention or {}),
                retry=retry,
                on_failure=dict(on_failure or {}),
                escalate_to=escalate_to,
                stuck=stuck,
                check=check,
                repair=repair,
                on_failed_check=on_failed_check,
                budget=budget,
                requires=check_grants(requires, what="`requires`"),
                tasks=dict(tasks or {}),
                zones=None if zones is None else frozenset(check_labels(zones, what="a zone")),
                series=series,
                mcp=mcp,
                tools=self.tools,
                rings=read_rings(ring, what=f"agent `{name or function.__name__}`, `ring=`"),
            )
            if (made.name, made.version) in self.agents:
                raise ConfigError(f"agent `{made.name}` version `{made.version}` is registered already")
            self.agents[made.name, made.version] = made
            return made

        return register

    @overload
    def tool(self, function: Callable[P, R], /) -> Tool[P, R]: ...
    @overload
    def tool(
        self,
        /,
        *,
        effect: Effect | None = ...,
        verify: Callable[..., Any] | None = ...,
        compensate: Callable[..., Any] | None = ...,
        timeout: timedelta | None = ...,
        name: str | None = ...,
        retry: Retry | None = ...,
        breaker: Breaker | None = ...,
        rate: Rate | str | Iterable[Rate | str] = ...,
        cache: Cache | timedelta | None = ...,
        fallback: Any = ...,
        classify: Rule | None = ...,
        cancellable: bool | None = ...,
        heartbeat: timedelta | None = ...,
        needs_approval: Any = ...,
        credential: str | None = ...,
        scopes: Iterable[str] = ...,
        connect_within: timedelta | None = ...,
        hosts: Iterable[str] | str = ...,
        allow_private: Iterable[str] | str = ...,
        audience: str | None = ...,
        requires: str | Iterable[str] = ...,
        labels: Iterable[str] = ...,
        clearance: Iterable[str] = ...,
        zone: str = ...,
        check: Callable[..., Any] | None = ...,
    ) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
    def tool(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        effect: Effect | None = None,
        verify: Callable[..., Any] | None = None,
        compensate: Callable[..., Any] | None = None,
        timeout: timedelta | None = None,
        name: str | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        rate: Rate | str | Iterable[Rate | str] = (),
        cache: Cache | timedelta | None = None,
        fallback: Any = (),
        classify: Rule | None = None,
        cancellable: bool | None = None,
        heartbeat: timedelta | None = None,
        needs_approval: Any = None,
        credential: str | None = None,
        scopes: Iterable[str] = (),
        connect_within: timedelta | None = None,
        hosts: Iterable[str] | str = (),
        allow_private: Iterable[str] | str = (),
        audience: str | None = None,
        requires: str | Iterable[str] = (),
        labels: Iterable[str] = (),
        clearance: Iterable[str] = (),
        zone: str = "default",
        check: Callable[..., Any] | None = None,
    ) -> Tool[..., Any] | Callable[[Callable[..., Any]], Tool[..., Any]]:
        """Register a tool with its effect on the world: `read`, `idempotent`, or `write` (the default).

        `verify` finds out whether a write in doubt happened (`Happened(result)`, `DID_NOT_HAPPEN`, `CANNOT_TELL`);
        `compensate` undoes it. Both take the tool's arguments. A parameter annotated `EffectKey` gets the key that
        is the same over all attempts.

        `retry` says how often a failed call is tried, `breaker` when calls stop because the other side fails, `rate`
        (`"10/s"`, or several) how often it may be called over all workers, `cache` how long a read's result is used
        again, `fallback` what is tried where it fails for good: tools with the same arguments, `Cached(max_age)`,
        `Instead(answer)`.
        `classify` tells what kind of failure an error is. `cancellable`: whether a cancellation of the run cuts a call
        off that is under way (without it: unless it is a write). A call that does not say `heartbeat()` for `heartbeat`
        counts as hung.

        `needs_approval`: a human is asked before each call (True), those whom `Approvers(...)` names, or as a function
        of the arguments says (a bool, or `Approvers`). The call is made as it was shown, or `ApprovalDenied` is raised.

        `credential` names the provider with whom the user on whose behalf the run acts has an account: a parameter
        annotated `Credential` gets it, with at least these `scopes`, for the one call. Where the user has connected
        none, the run waits, at most for `connect_within`; then `NeedsConnection` is raised.

        `hosts` are what a client that it is handed may reach: a parameter annotated `Http` (`SyncHttp`, if it is not
        async) gets one, which carries the credential to them. `audience` names a receiver that verifies calls by
        `perdure.verify`: each request carries a token for it, with these `scopes`. Addresses that are not public are
        reached only in the networks of `allow_private`.

        `requires`: grants that the *user* must have for whom the run acts (`"payments:write"`, or several), whatever
        the agent may do; else the call is `Refused`.
        What policies ask about: `labels` of what it returns (`"untrusted"`: anybody could have written it; `"trusted"`:
        you vouch for it; others are your own words), `clearance`, labels of data that may go into it, and its `zone`.

        `check(result, ...)` looks at what an effect has come to, with the arguments that it takes by name; it returns a
        bool or a `Check(passed, why, evidence)`. Where it does not pass, the effect is undone by `compensate`, the
        agent's trust ring is narrowed, and `CheckFailed` is raised.
        """
        terms = terms_of(
            retry=retry,
            breaker=breaker,
            rate=rate,
            cache=cache,
            fallback=fallback,
            classify=classify,
            heartbeat=heartbeat,
            needs_approval=needs_approval,
            credential=credential,
            scopes=scopes,
            connect_within=connect_within,
            hosts=hosts,
            allow_private=allow_private,
            audience=audience,
            requires=requires,
            labels=labels,
            clearance=clearance,
            zone=zone,
            check=check,
        )

        def register(of: Callable[..., Any]) -> Tool[..., Any]:
            made: Tool[..., Any] = Tool(
                of,
                name=name or getattr(of, "__name__", "tool"),
                effect=effect or "write",
                verify=verify,
                compensate=compensate,
                timeout=timeout,
                terms=terms,
                cancellable=cancellable,
                declared=effect is not None,
            )
            if made.name in self.tools:
                raise ConfigError(f"tool `{made.name}` is registered already; give one of them a `name=`")
            self.tools[made.name] = made
            return made

        return register if function is None else register(function)

    def find_agent(self, agent: Agent | str) -> Agent:
        """A registered agent, by itself or by name (the version registered last). Raises `UnknownAgent`."""
        if isinstance(agent, Agent):
            if self.agents.get((agent.name, agent.version)) is not agent:
                raise UnknownAgent(f"agent `{agent.name}` is registered with another app")
            return agent
        found = [made for (name, _), made in self.agents.items() if name == agent]
        if not found:
            known = ", ".join(sorted({name for name, _ in self.agents})) or "none"
            raise UnknownAgent(f"no agent `{agent}` is registered (known: {known})")
        return found[-1]
