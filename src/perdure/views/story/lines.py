"""Entries as lines, one fact each, as they come: a sign, a style, what it is about, and the rest of the sentence."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...journal import Entry, Kind
from ...memory import answer_in
from ..recalls import WAITS_FOR_REVIEW, recalled_words, waits_for_review
from ..standing import progress_text
from ..words import one_line, pretty, short_span
from .governed import governed
from .reading import as_object, body, changed_parts, error_name, fields, kind_name

__all__ = ["QUIET", "Line", "Lines", "escalation_text", "mismatch_text", "outcome_text"]

QUIET = frozenset({Kind.VALUE, Kind.SUSPENDED, Kind.DRIFT, Kind.RESERVED, Kind.HEARTBEAT})
"""Shown only to those who asked for more."""

_ENDINGS = {
    "succeeded": "green",
    "partial": "yellow",
    "escalated": "yellow",
    "failed": "red",
    "cancelled": "magenta",
    "quarantined": "red",
}


class Line(NamedTuple):
    """One fact. The texts are as they were written: whoever shows them escapes them."""

    sign: str
    """`ok`, `failed`, `running`, `waiting`, `doubt`, `message`, `decision`, `progress`, `changed`, `ended`"""
    style: str
    """a colour: `green`, `yellow`, `red`, `cyan`, `blue`, `magenta`, or `dim`"""
    subject: str
    """the step, or empty"""
    rest: str


class Lines:
    """Tells the entries of one run in their order; it remembers what a later one refers to."""

    def __init__(self) -> None:
        self._waits: dict[str, int] = {}
        self._messages: dict[int, str] = {}
        self._behaviour: dict[str, str] = {}

    def of(self, entry: Entry) -> Line:
        """The entry as a line."""
        if entry.erased:
            return Line(
                "progress", "dim", entry.key, f"{kind_name(entry)}, {'sealed' if entry.sealed else 'pruned'}"
            )
        return Line(*self._tell(Kind(entry.kind), entry, fields(entry)))

    def _tell(self, kind: Kind, entry: Entry, told: dict[str, Any]) -> tuple[str, str, str, str]:
        key = entry.key
        match kind:
            case Kind.STARTED:
                return "running", "cyan", "", f"{told.get('agent')} version {told.get('version')} started"
            case Kind.CLAIMED:
                again = f", after {told['unclean']} deaths" if told.get("unclean") else ""
                return (
                    "running",
                    "cyan",
                    "",
                    f"worker {told.get('worker')} drives it{again}{self._changed(told)}",
                )
            case Kind.RESULT:
                return self._result(entry, told)
            case Kind.FAILED:
                return "failed", "red", key, f"{error_name(told)}: {told.get('message')}"
            case Kind.INTENT:
                self._waits.pop(key, None)  # what it waited for has come; what it returns is not that
                attempt = told.get("attempt", 1)
                again = f", attempt {attempt}" if attempt > 1 else ""
                return "running", "dim", key, f"calls {told.get('tool')}{again}"
            case Kind.UNKNOWN:
                return "doubt", "yellow", key, f"in doubt: {told.get('why')}"
            case Kind.SETTLED:
                found = "it had happened" if told.get("happened") else "it had not happened"
                return "ok", "green", key, f"settled: {found}, says {told.get('by')}"
            case Kind.WAITING:
                return self._waiting(entry, told)
            case Kind.MESSAGE:
                return self._message(entry, told)
            case Kind.VALUE:
                return "progress", "dim", key, pretty(body(entry), limit=80)
            case Kind.DECISION:
                why = f": {told['reason']}" if told.get("reason") else ""
                return "decision", "blue", key, f"chose {pretty(told.get('choice'), limit=60)}{why}"
            case Kind.PROGRESS:
                return "progress", "blue", "", progress_text(told)
            case Kind.DRIFT:
                if "arguments" in told.get("changed", ()):
                    return (
                        "progress",
                        "yellow",
                        key,
                        "asked with other arguments; the recorded result is used",
                    )
                return "progress", "yellow", key, "the prompt has changed since; the recorded answer is used"
            case Kind.SUSPENDED:
                return (
                    "waiting",
                    "dim",
                    "",
                    f"holds no worker; waits for {', '.join(told.get('reasons', ()))}",
                )
            case Kind.MISMATCH:
                return "failed", "red", "", f"does not replay: {mismatch_text(told)}"
            case Kind.ACCEPTED:
                count = len(told.get("set_aside") or ())
                return "message", "magenta", "", f"accepted by {told.get('by')}: {count} steps are set aside"
            case Kind.CONTINUED:
                return (
                    "running",
                    "cyan",
                    "",
                    f"begins again with new input, generation {told.get('generation')}",
                )
            case Kind.ENDED:
                return self._ended(told)
            case Kind.OUTCOME:
                return "ended", "green" if told.get("met") else "red", "", f"outcome: {outcome_text(told)}"
            case Kind.ESCALATION:
                return "message", "magenta", "", escalation_text(told)
            case _:
                sign, style, words = governed(kind, told)
                return sign, style, key, words

    def _changed(self, told: dict[str, Any]) -> str:
        parts = as_object(as_object(told.get("behaviour")).get("parts"))
        before, self._behaviour = self._behaviour, parts or self._behaviour
        changed = changed_parts(before, parts) if before and parts else []
        return f"; changed since: {', '.join(changed)}" if changed else ""

    def _result(self, entry: Entry, told: dict[str, Any]) -> tuple[str, str, str, str]:
        since = self._waits.pop(entry.key, None)
        if since is None:
            answer = answer_in(entry.payload)
            words = "" if answer is None else recalled_words(answer)
            if waits_for_review(entry.key, told):
                words = WAITS_FOR_REVIEW
            return "ok", "green", entry.key, words
        came = told.get("from")
        said = self._messages.get(came) if isinstance(came, int) else None
        return "ok", "green", entry.key, f"{said or 'the time is over'}, after {short_span(entry.at - since)}"

    def _waiting(self, entry: Entry, told: dict[str, Any]) -> tuple[str, str, str, str]:
        reason, due = told.get("on"), told.get("due")
        within = f", at most {short_span(due - entry.at)}" if due else ""
        if reason == "in_doubt":
            problem = f": {told['problem']}" if told.get("problem") else ""
            return "doubt", "yellow", entry.key, f"waits for somebody to settle it{problem}"
        self._waits[entry.key] = entry.at
        if reason == "timer":
            return "waiting", "yellow", entry.key, f"for {short_span(due - entry.at)}" if due else ""
        if reason == "approval":
            return "waiting", "yellow", entry.key, f"asks: {told.get('question')}{within}"
        what = told.get("run") or told.get("name")
        return "waiting", "yellow", entry.key, f"waits for {reason} {what}{within}"

    def _message(self, entry: Entry, told: dict[str, Any]) -> tuple[str, str, str, str]:
        kind, sender = told.get("kind"), told.get("sender")
        inner = as_object(told.get("body"))
        name = told.get("name")
        said = f"{kind} {name}" if name else f"{kind}"
        if kind == "answer":
            said = "approved" if inner.get("approved") else "denied"
        elif kind == "child":
            said = f"run {name} {inner.get('status')}"
        elif kind == "settle":
            said = f"{name} {'happened' if inner.get('happened') else 'did not happen'}"
        reason = f": {inner['reason']}" if inner.get("reason") else ""
        text = said if kind == "child" else f"{said} by {sender}{reason}"
        self._messages[entry.seq] = str(inner.get("status")) if kind == "child" else text
        return "message", "magenta", "", text

    def _ended(self, told: dict[str, Any]) -> tuple[str, str, str, str]:
        status = str(told.get("status"))
        failure = as_object(told.get("failure"))
        name = "" if failure.get("type") == "perdure:Ended" else f"{error_name(failure)}: "
        why = f": {name}{failure.get('message', '')}" if failure else ""
        if told.get("why"):
            why = f": {told['why']}"
        style = _ENDINGS.get(status, "")
        return "ended", style, "", f"{status}{why}"


def mismatch_text(told: dict[str, Any]) -> str:
    """Both sides of a mismatch in one line."""
    recorded, requested = as_object(told.get("recorded")), as_object(told.get("requested"))
    was = f"entry {recorded.get('entry')} is `{recorded.get('step')}`"
    now = f"`{requested['step']}`: " if requested.get("step") else ""
    return f"{was}, and the code asked for {now}{requested.get('what')}"


def escalation_text(told: dict[str, Any]) -> str:
    """`delivered to desk`, `acknowledged by ann`."""
    words = {"delivered": "delivered to", "acknowledged": "acknowledged by", "passed": "passed on to"}
    what = str(told.get("what"))
    if what == "raised":
        return one_line(f"alert {told.get('alert')}, {told.get('kind')}: {told.get('subject')}")
    if what == "over":
        return f"alert {told.get('alert')} is over"
    who = told.get("by") if what == "acknowledged" else told.get("to")
    why = f": {told['why']}" if told.get("why") else ""
    return one_line(f"{words.get(what, what)} {who or 'nobody'}{why}")


def outcome_text(told: dict[str, Any]) -> str:
    """`met, says ann: the invoice was paid`."""
    evidence = told.get("evidence")
    shown = "" if evidence is None else f": {evidence if isinstance(evidence, str) else pretty(evidence)}"
    return one_line(f"{'met' if told.get('met') else 'not met'}, says {told.get('by')}{shown}")
