"""All that is recorded of one step: what it was given and gave, attempts, verdicts, where values came from, cost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ...governance.ledger import Line
from ...journal import Entry, Kind
from ...views.story import Lines, Step, as_list, as_object, body, fields, kind_name
from .journal import Journal

__all__ = ["Pane", "pane_of"]

_OF_A_TURN = re.compile(r"(?P<turn>.+)\.(?P<index>\d+)/[^/]+$")

MISSING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One step for the template. `has_…` tell what is absent from what is null."""

    step: Step
    input: Any = None
    has_input: bool = False
    input_from: str = ""
    """where it stands, if not with the step itself"""
    output: Any = None
    has_output: bool = False
    failure: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    verdicts: list[tuple[int, str, dict[str, Any]]] = field(
        default_factory=list[tuple[int, str, dict[str, Any]]]
    )
    """entry, words, and the verdict as recorded"""
    origins: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    charges: list[Line] = field(default_factory=list[Line])
    raw: list[tuple[Entry, str, Any]] = field(default_factory=list[tuple[Entry, str, Any]])
    """every entry of the step: itself, the name of its kind, its payload"""
    erased: bool = False


def pane_of(journal: Journal, key: str) -> Pane | None:
    """What is told of one step; None: there is no such step."""
    step = journal.story.steps.get(key)
    if step is None:
        return None
    mine = [entry for entry in journal.entries if entry.key == key]
    lines = Lines()
    told: dict[str, Any] = {"attempts": [], "verdicts": [], "origins": []}
    given: tuple[Any, str] = (MISSING, "")
    output: Any = MISSING
    failure: dict[str, Any] | None = None
    for entry in mine:
        found = fields(entry)
        match entry.kind:
            case Kind.INTENT if "arguments" in found:
                given = found["arguments"], ""
            case Kind.WAITING if given[0] is MISSING and "arguments" in as_object(found.get("show")):
                given = found["show"]["arguments"], ""
            case Kind.ATTEMPT:
                told["attempts"].append({**found, "at": entry.at})
            case Kind.VERDICT:
                told["verdicts"].append((entry.seq, lines.of(entry).rest, found))
                told["origins"] = found.get("origins") or told["origins"]
                if given[0] is MISSING and "arguments" in as_object(found.get("call")):
                    given = found["call"]["arguments"], ""
            case Kind.RESULT:
                output = body(entry)
                if step.recalled is not None:  # its names stand above, and all of it in the journal
                    output = step.recalled.found
                if "reply" in as_object(output) and "asked" in as_object(output):  # a turn of a model
                    given, output = (output.get("messages"), ""), output["reply"]
            case Kind.FAILED:
                failure = found
            case _:
                pass
    if given[0] is MISSING:
        given = _asked_by_model(journal, key)
    return Pane(
        step=step,
        input=None if given[0] is MISSING else given[0],
        has_input=given[0] is not MISSING,
        input_from=given[1],
        output=None if output is MISSING else output,
        has_output=output is not MISSING and any(e.kind == Kind.RESULT and not e.erased for e in mine),
        failure=failure,
        charges=[line for line in journal.story.ledger.charges if line.step == key],
        raw=[(entry, kind_name(entry), body(entry)) for entry in mine],
        erased=any(entry.erased for entry in mine),
        **told,
    )


def _asked_by_model(journal: Journal, key: str) -> tuple[Any, str]:
    """What a tool was called with stands in the turn that asked for it, where it has no intent of its own."""
    found = _OF_A_TURN.match(key)
    if found is None:
        return MISSING, ""
    for entry in journal.entries:
        if entry.key == found["turn"] and entry.kind == Kind.RESULT:
            calls = as_list(as_object(fields(entry).get("reply")).get("tool_calls"))
            index = int(found["index"])
            if index < len(calls):
                return as_object(calls[index]).get("arguments"), entry.key
    return MISSING, ""
