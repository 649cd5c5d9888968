"""What a watcher is, and all that it can do.

    journals ─► facts, in the order of the audit log ─► watcher ─┬─ report ─► alarm, narrower ring, stop: as is set
                                                                 └─ suspend ─► the run, or the agent, is stopped

A watcher is no run: no tool, model or child can be called by it, and nothing is lent to it. What it is handed is
`Watch`: reading the runs of the fact's own tenant, and suspending there. What it reads was written by whom it watches:
an agent that could make a watcher act by what it writes could stop others, and nothing more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ...audit.fact import Fact
from ...core.errors import ConfigError
from ...core.watcher_settings import OnFinding
from ...journal import RunRecord
from ..revocations import Who

__all__ = ["Finding", "Look", "Watch", "WatchRights", "Watcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a watcher has found."""

    watcher: str
    tenant: str
    agent: str
    run: str
    what: str
    """one word for its kind: `denied`, `rate`, `spend`, `drift`, `novel`, or a word of your own"""
    why: str
    """one sentence, for people"""
    step: str = ""
    at: int = 0
    """of the fact that led to it, microseconds"""

    @property
    def cause(self) -> str:
        """The same where it is found again: what follows of it is done once."""
        return f"{self.watcher}/{self.what}/{self.run}"


class WatchRights(Protocol):
    """Who reads and suspends for a watcher, within one tenant."""

    async def run(self, run_id: str) -> RunRecord | None:
        """The row of a run."""
        ...

    async def facts(self, run_id: str, *, until: int | None) -> Sequence[Fact]:
        """What its journal tells, up to an entry."""
        ...

    async def suspend(self, who: Who, reason: str) -> bool:
        """Stop it."""
        ...

    async def report(self, finding: Finding) -> None:
        """Let follow what is configured."""
        ...

    def state(self, key: str) -> dict[str, Any]:
        """What the watcher keeps."""
        ...


class Watch:
    """What a watcher is handed with each fact: all that it can do."""

    __slots__ = ("__rights", "fact", "name")

    def __init__(self, name: str, fact: Fact, rights: WatchRights) -> None:
        self.name = name
        """of the watcher"""
        self.fact = fact
        self.__rights = rights

    async def run(self, run_id: str | None = None) -> RunRecord | None:
        """The row of a run of the same tenant; without an id, of that which the fact is of. None: there is none."""
        return await self.__rights.run(run_id or self.fact.ref.id)

    async def facts(self, run_id: str | None = None, *, until: int | None = None) -> Sequence[Fact]:
        """What a journal of the same tenant tells, up to the entry `until`, that one left out; the quiet ones too."""
        return await self.__rights.facts(run_id or self.fact.ref.id, until=until)

    def state(self, key: str = "") -> dict[str, Any]:
        """What the watcher keeps of the tenant under a key, as JSON values: change it in place.

        It is written down with how far the watcher has read: what a fact has changed is there once, also after a crash.
        """
        return self.__rights.state(key)

    async def report(self, what: str, why: str) -> None:
        """Say that something is not as it should be with the fact's run; what follows is configured, and done once.

        `what` is one word for the kind of it, `why` a sentence for people.
        """
        fact = self.fact
        await self.__rights.report(
            Finding(
                watcher=self.name,
                tenant=fact.ref.tenant,
                agent=fact.agent,
                run=fact.ref.id,
                what=what,
                why=why,
                step=fact.step,
                at=fact.at,
            )
        )

    async def suspend(self, *, run: str | None = None, agent: str | None = None, reason: str) -> bool:
        """Stop a run, or all of an agent, of the same tenant: it is held before its next effect. False: it was already.

        Somebody has to let it go on: a watcher cannot. Raises `ConfigError` where not just one of them is named.
        """
        if (run is None) == (agent is None):
            raise ConfigError("a watcher suspends one of a `run` and an `agent`: name one")
        return await self.__rights.suspend(Who.of(run=run, agent=agent), reason)


Look: TypeAlias = Callable[[Watch, Fact], Awaitable[None]]
"""What a watcher does with each fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """A watcher as it is registered."""

    name: str
    look: Look
    on_finding: OnFinding = "alarm"
    quiet: bool = False
    """whether it is handed facts of interest to a machine, too: what calls have cost, say"""
    everywhere: bool = False
    """the runs of all tenants, each within its own; False: those of the app's tenant"""
