"""`run.wrap`: somebody else's agent, whose every model turn and tool call becomes a step of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...core.errors import ConfigError
from ...core.ids import step_name
from ..boundary.terms import Terms
from .declared import ToolTable
from .survey import Had

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from ..run_base import RunBase

__all__ = ["Adapter", "Adapters", "NoAdapters", "Wrapping", "wrapping_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapping:
    """What an adapter is told."""

    recorder: Recorder
    name: str
    """of the conversation: the first part of its steps' keys"""
    table: ToolTable
    """what the tools do to the world"""
    agent: str
    """of Perdure, for messages"""
    terms_of: Callable[[str], Terms]
    """how the calls of a model are handled, by its full name: `app.models.terms`"""


def wrapping_of(run: RunBase, agent: Any, *, name: str | None = None) -> Wrapping:
    """What the adapter of `agent` is told in `run`. The conversation is called `name`, or as the agent is."""
    own: Any = getattr(agent, "name", None)
    around = run._surroundings  # pyright: ignore[reportPrivateUsage]  # a run's own facets
    return Wrapping(
        recorder=run._recorder,  # pyright: ignore[reportPrivateUsage]
        name=name or step_name(own if isinstance(own, str) and own else "agent"),
        table=around.effects,
        agent=run._agent.name,  # pyright: ignore[reportPrivateUsage]
        terms_of=around.models.terms_of,
    )


class Adapter(Protocol):
    """Knows one framework. One file each under `adapters/`, imported when an agent of its kind is first wrapped."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> Callable[..., Any]:
        """A callable like the agent's own way to run it; its result is the framework's.

        Raises `ConfigError` for what cannot be covered (hosted tools, a checkpointer of the framework's own), by name.
        """
        ...

    def had(self, value: Any) -> Had | None:
        """The tools of an agent of this framework, as far as its objects tell; None for any other value.

        A tool that is an object by itself has itself: code may make its agents only when it runs, of tools that it
        names. Nothing is run and nobody is asked.
        """
        ...


class Adapters(Protocol):
    """Finds the adapter of an agent, by its type."""

    def find(self, agent: Any) -> Adapter:
        """Raises `ConfigError` where there is none."""
        ...


class NoAdapters:
    """Nothing can be wrapped."""

    def find(self, agent: Any) -> Adapter:
        """Raises `ConfigError`."""
        raise ConfigError(f"`{type(agent).__qualname__}` cannot be wrapped here")
