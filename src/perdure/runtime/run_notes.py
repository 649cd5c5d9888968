"""What a run writes down without an effect: recorded moments, decisions, outcomes."""

from __future__ import annotations

import random as random_module
import uuid as uuid_module
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import pydantic_core

from ..core.clock import from_micros
from ..core.errors import ConfigError
from ..governance.policy.capabilities import Capability, in_rings
from ..journal import Change, Kind
from .boundary.pulse import beat
from .boundary.tool import Tool
from .ending.outcome import keep_outcome
from .replay import patches
from .replay.control import Unwind
from .replay.scope import Scope, current_scope
from .run_base import RunBase

__all__ = ["RunNotes"]

T = TypeVar("T")


class RunNotes(RunBase):
    """Moments that are the same in every replay, and what the run says of itself."""

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

    def capabilities(self) -> list[Capability] | None:
        """What the policies let this agent do, tool by tool, so that it can plan; None where it has no policies.

        As it was when this was first asked: the version of the policies is the run's for as long as it lasts. The trust
        rings are those of the moment at which its worker took the run up; each call is judged by that of its own.
        """
        told = self._may
        found: list[Any] | None = self._value(
            "capabilities", lambda: None if (may := told()) is None else [c.model_dump() for c in may]
        )
        return None if found is None else [Capability.model_validate(each) for each in found]

    @property
    def what_may_i_do(self) -> Tool[[], list[Capability]]:
        """A tool for a model, so that it can ask by itself: `tools=[..., run.what_may_i_do]`. Always permitted."""
        told = self._may

        def what_may_i_do() -> list[Capability]:
            """Say which tools you may call, which not, and which only under conditions, and why.

            `ring` says how far you go by yourself: `observe` and `draft` carry nothing out, `act_after_approval` asks.
            """
            return list(told() or ())

        return Tool(what_may_i_do, name="what_may_i_do", effect="read", exempt=True)

    def _may(self) -> Sequence[Capability] | None:
        guard, rings = self._recorder.boundary.guard, self._recorder.boundary.rings
        if guard is None:
            return None
        return in_rings(guard.capabilities(), {} if rings is None else rings.known)

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
        self._note(Kind.DECISION, name, payload)
        return choice

    def heartbeat(
        self, progress: str | None = None, *, done: int | None = None, total: int | None = None
    ) -> None:
        """Say that the step under way lives, and how far it is; in a tool that has no run: `perdure.heartbeat`."""
        beat(current_scope(self._recorder), progress, done=done, total=total)

    def outcome(self, met: bool, *, by: str = "run", evidence: Any = None) -> None:
        """Say whether the goal was met: who says so, and on what evidence. The last word of several counts.

        From outside, also long after the end: `app.outcome` and `perdure outcome RUN`.
        """
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.moment("outcome")
        mark = recorder.mark(b"outcome")
        if (recorder.take(key, mark) if recorder.unconsumed else None) is not None:
            return
        self._moment_may_be_live(scope, key)
        told = pydantic_core.to_json({"met": met, "by": by, "evidence": evidence}, fallback=repr)
        parts = [(int(Kind.VALUE), key, told, mark), (int(Kind.OUTCOME), "", told, b"")]
        recorder.write_all(parts, change=Change(amendments=(keep_outcome(recorder.ref, met),)))

    def _note(self, kind: Kind, name: str, payload: bytes, change: Change | None = None) -> None:
        recorder = self._recorder
        scope = current_scope(recorder)
        key = scope.moment(name)
        mark = recorder.mark(kind.name.encode())
        record = recorder.take(key, mark) if recorder.unconsumed else None
        if record is None:
            self._moment_may_be_live(scope, key)
            recorder.write(kind, key, payload, fingerprint=mark, change=change)
