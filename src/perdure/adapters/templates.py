"""`{{name}}` in the texts of a script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["Missing", "fill"]

_PLACE = re.compile(r"\{\{\s*([A-Za-z_]\w*)(\*?)\s*(?:\|([^{}]*))?\}\}")


class Missing(Exception):
    """A name for which nothing was found and nothing else was given."""


def fill(value: Any, values: Mapping[str, Sequence[str]]) -> Any:
    """Replace the places in every text of a JSON value; a list item that is one `{{name*}}` becomes many.

    Raises `Missing`.
    """
    if isinstance(value, str):
        return _PLACE.sub(lambda place: ", ".join(_found(place, values)), value)
    if isinstance(value, dict):
        return {k: fill(v, values) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        items: list[Any] = []
        for item in cast("list[Any]", value):
            place = _PLACE.fullmatch(item) if isinstance(item, str) else None
            if place is not None and place[2]:
                items.extend(_found(place, values))
            else:
                items.append(fill(item, values))
        return items
    return value


def _found(place: re.Match[str], values: Mapping[str, Sequence[str]]) -> Sequence[str]:
    name, many, other = place.groups()
    found = values.get(name, ())
    if found:
        return found if many else found[:1]
    if other is not None:
        return [other.strip()]
    if many and name in values:
        return []
    raise Missing(f"nothing was found for `{{{{{name}}}}}`")
