"""What kind of failure an error is, and whether it proves that nothing was done.

    the user's rules ─► what the journal recorded ─► built in, by library ─► what it was raised from ─► permanent

An error that was recorded carries its diagnosis, live as on replay, so that a program which looks at it goes the same
way both times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from ...core.clock import Clock, SystemClock
from ...core.errors import NotDone, StepFailed
from ...core.failures import Diagnosis, FailureClass
from .symptoms import READERS, Inside, Seen, type_names

__all__ = ["Classifier", "Diagnosis", "FailureClass", "Rule", "diagnose", "remember", "remembered"]

log = logging.getLogger("perdure.run")

Rule = Callable[[BaseException], Diagnosis | FailureClass | None]
"""A rule of the user's: None where it has nothing to say of this error."""

_MARK = "_perdure_diagnosis"

_WORST = (
    FailureClass.PERMANENT,
    FailureClass.STUCK,
    FailureClass.REFUSED,
    FailureClass.CONTEXT_EXCEEDED,
    FailureClass.INVALID_OUTPUT,
    FailureClass.OVERLOADED,
    FailureClass.TRANSIENT,
)
DEEPEST = 20
"""Wrappers within wrappers that are looked into."""


def remember(error: BaseException, diagnosis: Diagnosis) -> None:
    """Attach what was recorded of an error to the one that is raised in its place."""
    try:
        setattr(error, _MARK, diagnosis)
    except AttributeError:  # its type has slots: it is read anew, by its type
        return


def remembered(error: BaseException) -> Diagnosis | None:
    """What was recorded of the error, if it was."""
    found: Any = getattr(error, _MARK, None)
    return found if isinstance(found, Diagnosis) else None


class Classifier:
    """Reads errors: by the user's rules, in their order, then by what is built in."""

    def __init__(self, rules: Sequence[Rule] = (), *, clock: Clock | None = None) -> None:
        self._rules = list(rules)
        self._clock: Clock = SystemClock() if clock is None else clock

    def add(self, rule: Rule) -> Rule:
        """Ask `rule` after those that are there, and before what is built in. It must not change the error."""
        self._rules.append(rule)
        return rule

    def behind(self, rule: Rule) -> Classifier:
        """One that asks `rule` first: of a single tool, say."""
        return Classifier([rule, *self._rules], clock=self._clock)

    def diagnose(self, error: BaseException) -> Diagnosis:
        """The diagnosis of an error. It never raises; an error that nothing knows is `permanent`."""
        try:
            found = self._look(error, 0)
        except Exception:
            # An error whose attributes raise must not hide itself behind another.
            log.exception("an error of type `%s` could not be looked into", type(error).__qualname__)
            found = None
        return found or Diagnosis(
            FailureClass.PERMANENT, why=f"`{type(error).__qualname__}` is not known to pass by itself"
        )

    def _look(self, error: BaseException, depth: int) -> Diagnosis | None:
        recorded = remembered(error)
        if recorded is not None:
            return recorded
        ruled = self._by_rule(error)
        if isinstance(ruled, Diagnosis):
            return ruled
        found = None if depth > DEEPEST else self._built_in(error, depth)
        if ruled is None:
            return found
        why = f"a rule of the application says `{ruled}`"
        return replace(found, failure=ruled, why=why) if found is not None else Diagnosis(ruled, why=why)

    def _by_rule(self, error: BaseException) -> Diagnosis | FailureClass | None:
        for rule in self._rules:
            name = getattr(rule, "__qualname__", repr(rule))
            try:
                said: Any = rule(error)
            except Exception:
                log.exception("rule `%s` raised on an error of type `%s`", name, type(error).__qualname__)
                continue
            if said is None or isinstance(said, Diagnosis):
                pass
            elif isinstance(said, str) and said in list(FailureClass):
                said = FailureClass(said)
            else:
                log.error(
                    "rule `%s` returned `%r`; it must return a Diagnosis, a FailureClass or None", name, said
                )
                continue
            if said is not None:
                return said
        return None

    def _built_in(self, error: BaseException, depth: int) -> Diagnosis | None:
        if isinstance(error, BaseExceptionGroup):
            parts = cast("BaseExceptionGroup[BaseException]", error).exceptions
            return self._worst([self._look(part, depth + 1) for part in parts])
        seen = Seen(error, _names(error), self._now)
        for read in READERS:
            found = read(seen)
            if isinstance(found, Inside):
                return self._inside(error, found, depth)
            if found is not None:
                return found
        if error.__cause__ is not None:
            return self._look(error.__cause__, depth + 1)
        context = None if error.__suppress_context__ else error.__context__
        if context is not None and type(error).__module__ != "builtins":
            # Raised while another was handled, and perhaps after more was done: its class, and never its proof.
            found = self._look(context, depth + 1)
            return None if found is None else replace(found, not_sent=False)
        return None

    def _inside(self, error: BaseException, found: Inside, depth: int) -> Diagnosis:
        inner = None if found.error is None else self._look(found.error, depth + 1)
        if inner is None:
            return found.otherwise
        if isinstance(error, NotDone):
            return replace(inner, not_sent=True)
        return inner if found.proof else replace(inner, not_sent=False)

    def _worst(self, found: Sequence[Diagnosis | None]) -> Diagnosis | None:
        known = [d for d in found if d is not None]
        if len(known) < len(found):
            return None  # what is not known is permanent, and nothing is worse
        worst = min(known, key=lambda d: _WORST.index(d.failure))
        waits = [d.retry_after for d in known if d.retry_after is not None]
        return replace(worst, not_sent=all(d.not_sent for d in known), retry_after=max(waits, default=None))

    def _now(self) -> float:
        return self._clock.micros() / 1e6


def _names(error: BaseException) -> tuple[str, ...]:
    """The names of its types; of a recorded error whose type is not loaded, the one that was recorded."""
    if isinstance(error, StepFailed) and error.type_name:
        return (error.type_name,)
    return type_names(type(error))


def diagnose(error: BaseException) -> Diagnosis:
    """The diagnosis of an error by what is built in; an app's own rules are in its `Classifier`."""
    return Classifier().diagnose(error)
