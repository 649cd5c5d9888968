"""What is noted of a model turn beside its answer: the decision it came to, and what changed since it was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pydantic_core

from ...journal import Kind
from ..replay.control import Unwind
from ..replay.recorder import Recorder
from ..replay.scope import Scope

__all__ = ["DriftNotes", "decision", "note_decision", "skip_decision"]

_DECISION = int(Kind.DECISION)
_MARK = b"DECISION"


def note_decision(
    recorder: Recorder,
    scope: Scope,
    *,
    options: Sequence[str],
    choice: Sequence[str],
    said: str | None,
    reasoning: str | None,
    by: str,
) -> None:
    """Record which tools the model could have called, which it chose, and why, as far as it says.

    `said` is the text beside its calls, `reasoning` the provider's summary. What it did not say stays null.
    """
    part = decision(recorder, scope, options=options, choice=choice, said=said, reasoning=reasoning, by=by)
    kind, key, payload, mark = part
    if recorder.unconsumed and recorder.take(key, mark) is not None:
        return
    if recorder.halted is not None or recorder.releasing:
        raise Unwind
    recorder.write(kind, key, payload, fingerprint=mark)


def skip_decision(recorder: Recorder, scope: Scope) -> None:
    """Take the next decision of the scope as told, if it is recorded."""
    if scope.ahead("decision") in recorder.steps:
        recorder.take(scope.moment("decision"), recorder.mark(_MARK))


def decision(
    recorder: Recorder,
    scope: Scope,
    *,
    options: Sequence[str],
    choice: Sequence[str],
    said: str | None,
    reasoning: str | None,
    by: str,
) -> tuple[int, str, bytes, bytes]:
    """What `note_decision` records, to be written with something else."""
    payload = {
        "options": list(options),
        "choice": list(choice),
        "reason": (said or "").strip() or None if choice else None,
        "reasoning": reasoning,
        "confidence": None,
        "unknowns": None,
        "by": by,
    }
    return _DECISION, scope.moment("decision"), pydantic_core.to_json(payload), recorder.mark(_MARK)


class DriftNotes:
    """The recorded answer wins; what has changed since is said once in a conversation."""

    def __init__(self, recorder: Recorder, *, silent: frozenset[str] = frozenset()) -> None:
        self._recorder = recorder
        self._silent = silent
        """marks that may differ without a word: they follow from the others"""
        self._noted: set[str] = set()

    def note(
        self, key: str, recorded: Mapping[str, str], asked: Mapping[str, str], *, in_journal: bool
    ) -> None:
        """Compare the marks of a turn that was replayed. `in_journal`: an earlier replay has said it."""
        recorder = self._recorder
        changed = {name for name in asked if asked[name] != recorded.get(name)} - self._silent
        unsaid = sorted(changed - self._noted)
        if unsaid and not in_journal:
            if recorder.halted is not None or recorder.releasing:
                return  # nothing may be written now; the next replay says it
            sides = {"recorded": recorded, "now": asked}
            payload = {"changed": unsaid, **{k: {n: v.get(n) for n in unsaid} for k, v in sides.items()}}
            recorder.write(Kind.DRIFT, key, pydantic_core.to_json(payload))
        self._noted |= changed
