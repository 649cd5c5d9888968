"""What a run is to do, in a line: made of its input, for lists."""

from __future__ import annotations

import json
from typing import Any, cast

__all__ = ["clean", "goal_of"]

MOST = 160
"""Characters of a goal."""

_MOST_NAME = 120
_MOST_ITEMS = 8
_MOST_DEEP = 4


def goal_of(told: Any) -> str | None:
    """`question: where is my parcel?` of an input; None where it says nothing."""
    text = _text(told, 0)
    return _cut(" ".join(text.split()), MOST) or None


def clean(name: str) -> str:
    """A name as every database can hold it, and no longer than one can be read."""
    return _cut(_printable(name), _MOST_NAME)


def _text(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return _printable(value[: 4 * MOST])
    if depth == _MOST_DEEP and isinstance(value, dict | list):
        return "…"
    if isinstance(value, dict):
        items = [*cast("dict[str, Any]", value).items()][:_MOST_ITEMS]
        # Of a single thing the name says little: `{"question": "…"}` is the question.
        if len(items) == 1:
            return _text(items[0][1], depth + 1)
        return ", ".join(f"{_printable(str(k)[:40])}: {_text(v, depth + 1)}" for k, v in items)
    if isinstance(value, list):
        return ", ".join(_text(item, depth + 1) for item in cast("list[Any]", value)[:_MOST_ITEMS])
    return "" if value is None else json.dumps(value)[:MOST]


def _printable(text: str) -> str:
    """Without what no list can show and not every database can hold: control characters, lone surrogates."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
