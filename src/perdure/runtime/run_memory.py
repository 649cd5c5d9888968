"""What a run remembers beyond itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .run_base import RunBase

if TYPE_CHECKING:
    from .recall import RunKnowledge, Session, Steps, WorkingMemory
    from .run_waits import RunWaits

__all__ = ["RunMemory"]


class RunMemory(RunBase):
    """The way to memory."""

    def session(self, name: str, *, agent: str | None = None) -> Session:
        """A conversation or a case that lasts over days, runs and workers: its messages, and values under keys.

        It is the tenant's, and of the run's data subject where it has one; with `agent` that agent's alone, whose name
        it is: others write nothing to it, and read it where `[memory.shared]` lets them. Raises `ConfigError` for what
        is no name.
        """
        from .recall import Session

        sessions = self._surroundings.memories.sessions(self._recorder.store)
        ask: Any = self  # the whole run, of which this is a part
        return Session(self._memory("session", agent), sessions, name, ask=ask.model)

    def working(self, name: str | None = None, *, agent: str | None = None) -> WorkingMemory:
        """What matters now: notes, documents and results of tools, found again by words and by meaning.

        Without a name it is this run's own. A named space is the tenant's, and of the run's data subject where it has
        one; with `agent` that agent's alone, as a session is. Raises `ConfigError` for what is no name.
        """
        from .recall import WorkingMemory

        working = self._surroundings.memories.working(self._recorder.store)
        mine = self._agent.name if name is None else agent
        return WorkingMemory(
            self._memory("working", mine),
            working,
            f"run:{self.id}" if name is None else name,
            models=self._surroundings.models,
        )

    @property
    def knowledge(self) -> RunKnowledge:
        """Dated facts about people and things, over years, with where each comes from.

        They are the tenant's, and of the run's data subject where it has one. `run.knowledge.of("desk")` is what that
        agent alone knows.
        """
        from .recall import RunKnowledge

        knowledge = self._surroundings.memories.knowledge(self._recorder.store)
        return RunKnowledge(
            lambda agent: self._memory("knowledge", agent), knowledge, ask=cast("RunWaits", self).ask
        )

    def _memory(self, layer: str, agent: str | None) -> Steps:
        from .recall import Steps

        return Steps(
            recorder=self._recorder,
            memories=self._surroundings.memories,
            layer=layer,
            reader=self._agent.name,
            agent=agent,
        )
