"""Words for times and for text that somebody else wrote."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import Any

from ..core.clock import from_micros
from ..core.lookalikes import safe, strings_in, suspicious, visible

__all__ = [
    "ago",
    "clock_time",
    "command_line",
    "iso",
    "one_line",
    "pretty",
    "safe",
    "short_span",
    "span",
    "stated_text",
    "strings_in",
    "suspicious",
    "visible",
]


def one_line(text: str) -> str:
    """`text` in one line, safe to show."""
    return safe(" ".join(text.split()))


def span(micros: int) -> str:
    """A duration in one or two units: `12 ms`, `3.4 s`, `2 min 5 s`, `3 d 4 h`."""
    if micros < 1000:
        return f"{max(micros, 0)} µs"
    if micros < 1_000_000:
        return f"{micros / 1000:.0f} ms"
    seconds = micros / 1e6
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for unit, size, below, part in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86_400, "h", 3600)):
        if whole < size * {"min": 60, "h": 24, "d": 10**9}[unit]:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {below}" if rest else f"{whole // size} {unit}"
    raise AssertionError


def short_span(micros: int) -> str:
    """A duration in one unit, rounded, without a space, for narrow columns: `12ms`, `3.4s`, `90m`, `3d`."""
    if micros < 60_000_000:
        return span(micros).replace(" ", "")
    seconds = micros / 1e6
    for unit, size, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86_400:.0f}d"


def ago(at: int, now: int) -> str:
    """How long ago a moment was: `5 s ago`; `in 5 s` for one to come."""
    if at > now:
        return f"in {short_span(at - now)}"
    if now - at < 1_000_000:
        return "just now"
    return f"{short_span(now - at)} ago"


def iso(at: int | None) -> str | None:
    """A moment as ISO 8601 in UTC, with microseconds."""
    return None if at is None else from_micros(at).isoformat().replace("+00:00", "Z")


def clock_time(at: int) -> str:
    """A moment in the reader's time zone."""
    local = from_micros(at).astimezone()
    return (
        f"{local:%H:%M:%S}"
        if local.date() == datetime.now(UTC).astimezone().date()
        else f"{local:%Y-%m-%d %H:%M}"
    )


def pretty(value: Any, *, limit: int | None = None, indent: int | None = None) -> str:
    """JSON for people: letters as they are, hidden characters escaped, at most `limit` characters."""
    text = safe(json.dumps(value, ensure_ascii=False, indent=indent, default=repr), lines=indent is not None)
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def command_line(*parts: str) -> str:
    """A command that can be pasted into a shell."""
    return " ".join(shlex.quote(part) for part in parts)


def stated_text(told: Any) -> str:
    """How sure a model says that it is, as a journal has it: `confidence 0.4; not known: whose bill it is`."""
    from ..governance.policy.stated import Stated

    try:
        return one_line(Stated.recorded(told).in_words())
    except (KeyError, TypeError, ValueError):
        return "nothing that can be read"
