"""Scopes: where a step's name is counted, so that its key is the same in every replay."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from ...core.errors import ConcurrentScope, OutsideRun
from ...core.ids import check_step_name

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["Scope", "current_scope", "running_in", "set_scope"]


class Scope:
    """One branch of a run. Its steps follow each other; what overlaps needs branches of its own.

    Keys are `path/name`, and `path/name:2` for the second of a name. A plain class: this is the hot path.
    """

    __slots__ = ("busy", "counts", "parent", "path", "recorder", "shielded", "spawned")

    def __init__(
        self, recorder: Recorder, path: str, *, parent: Scope | None = None, shielded: bool = False
    ) -> None:
        self.recorder = recorder
        self.parent = parent
        self.path = path
        """ends with `/`, but for the root, where it is empty"""
        self.counts: dict[str, int] = {}
        self.busy = ""
        """key of the step that is under way"""
        self.shielded = shielded
        self.spawned: list[asyncio.Task[Any]] = []
        """branches that were started beside it; they are cancelled with it"""

    def enter(self, name: str) -> str:
        """Begin a step: its key. The caller sets `busy` to the empty string when it is over."""
        n = self.counts.get(name, 0) + 1
        key = self.path + name if n == 1 else f"{self.path}{name}:{n}"
        if self.busy:
            raise ConcurrentScope(
                f"step `{key}` began while `{self.busy}` was under way in the same scope, so a replay could not tell "
                "their order; run them with `run.gather(...)`, give a task its own scope with "
                "`run.branch(name, ...)`, and call no step from inside another"
            )
        if n == 1:
            check_step_name(name)
        self.counts[name] = n
        self.busy = key
        return key

    def ahead(self, name: str) -> str:
        """The key that the next step of that name will have."""
        n = self.counts.get(name, 0) + 1
        return self.path + name if n == 1 else f"{self.path}{name}:{n}"

    def moment(self, name: str) -> str:
        """The key of something that takes no time (a clock reading); it may happen while a step is under way."""
        n = self.counts.get(name, 0) + 1
        self.counts[name] = n
        return self.path + name if n == 1 else f"{self.path}{name}:{n}"


_current: ContextVar[Scope] = ContextVar("perdure_scope")


def current_scope(recorder: Recorder | None = None) -> Scope:
    """The scope of the running task; raises `OutsideRun` where there is none, or it is another run's."""
    scope = _current.get(None)
    if scope is None or (recorder is not None and scope.recorder is not recorder):
        raise OutsideRun(
            "there is no run here: use the run context only inside the agent's function and its tasks"
        )
    return scope


def running_in() -> str | None:
    """The run in whose code this is called, as a sender of messages; None: outside of all runs."""
    scope = _current.get(None)
    return None if scope is None else f"run {scope.recorder.ref.id}"


def scope_here() -> Scope | None:
    """The scope of the running task, of whatever run; None outside of one."""
    return _current.get(None)


def set_scope(scope: Scope) -> Token[Scope]:
    """Make `scope` the current one of this task. What it returns, `reset_scope` takes back."""
    return _current.set(scope)


def reset_scope(token: Token[Scope]) -> None:
    """The scope that was current before."""
    _current.reset(token)
