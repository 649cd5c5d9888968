"""How values are written in templates. Whatever somebody else wrote goes through `shown` or `told`."""

from __future__ import annotations

import json as _json
from collections.abc import Callable, Mapping
from typing import Any, cast

from markupsafe import Markup, escape

from ..audit.wording import moment as _moment
from ..core.clock import from_micros
from ..core.people import person
from ..governance import dollars
from ..views.story import escalation_text, kind_name, outcome_text
from ..views.words import ago, iso, short_span, span, strings_in, suspicious, visible

__all__ = ["FILTERS"]

LONGEST = 20_000
"""Characters of one value on a page; the raw entry, by the command line, has all of it."""


def shown(value: object, limit: int = LONGEST, lines: bool = False) -> Markup:
    """Text as an eye may trust it: what hides in it is written out, and marked where something is odd about it."""
    if value is None:
        return Markup("")
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return escape(cut)
    safe = escape(visible(cut, lines=lines))
    return Markup('<span class="odd">{}</span>').format(safe) if _odd(cut) else safe


def told(value: Any, limit: int = LONGEST) -> Markup:
    """A JSON value for reading. htmx is told to look at nothing inside, whatever it should hold."""
    text = _dumped(value)
    cut = text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"
    odd = Markup(" odd") if _odd(strings_in(value)) else ""
    return Markup('<pre class="code{}" hx-disable tabindex="0">{}</pre>').format(
        odd, visible(cut, lines=True)
    )


def brief(value: Any, limit: int = 120) -> Markup:
    """A JSON value in one line; a text without its quotes."""
    text = value if isinstance(value, str) else _dumped(value, indent=None)
    return shown(" ".join(text.split()), limit)


def pairs(value: Any, limit: int = 160) -> Markup:
    """Arguments in one line: `order A-101, cents 48900`."""
    if not isinstance(value, Mapping):
        return brief(value, limit)
    given = cast("Mapping[str, Any]", value)
    return brief(
        ", ".join(f"{n} {v if isinstance(v, str) else _dumped(v, None)}" for n, v in given.items()), limit
    )


def oddities(value: Any) -> list[str]:
    """What is odd about the texts in a value, in words."""
    text = value if isinstance(value, str) else strings_in(value)
    return [] if not _odd(text) else suspicious(text[: LONGEST * 4])


def _odd(text: str) -> bool:
    if text.isascii() and text.isprintable():
        return False
    return bool(suspicious(text[: LONGEST * 4]))


def _dumped(value: Any, indent: int | None = 2) -> str:
    try:
        return _json.dumps(value, ensure_ascii=False, indent=indent, default=repr)
    except (ValueError, RecursionError):
        return repr(value)


def _clock(at: int) -> str:
    return f"{from_micros(at):%H:%M:%S}"


def _number(n: int | None) -> str:
    """`1,234`; `12.3k` and `4.56M` where it is long."""
    if n is None:
        return "–"
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if n >= size:
            return f"{n / (1000 if letter == 'k' else size):.3g}{letter}"
    return f"{n:,}"


_TRUST = {
    "vouched": Markup('<span class="good">vouched for</span>'),
    "trusted": Markup("<span>not from outside</span>"),
    "untrusted": Markup('<span class="bad">anybody could have written it</span>'),
    "unknown": Markup('<span class="warn">not known</span>'),
}


def _trust(word: object) -> Markup:
    """How far a value can be trusted, in words."""
    return _TRUST.get(str(word), escape(str(word)))


FILTERS: dict[str, Callable[..., Any]] = {
    "shown": shown,
    "told": told,
    "brief": brief,
    "pairs": pairs,
    "json": _dumped,
    "oddities": oddities,
    "moment": _moment,
    "clock": _clock,
    "iso": iso,
    "ago": ago,
    "span": span,
    "short_span": short_span,
    "dollars": dollars,
    "number": _number,
    "person": person,
    "escalation": escalation_text,
    "outcome": outcome_text,
    "kind": kind_name,
    "trust": _trust,
}
"""By their names in templates."""
