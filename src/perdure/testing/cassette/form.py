"""JSON for people and for `git diff`: what fits stands on one line, what does not is opened up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["written"]

_WIDTH = 100


def written(value: Any) -> str:
    """The value as JSON. Letters stay as they are, and so does the order of fields."""
    # Half a pair of UTF-16 is in some answers, and cannot be written as UTF-8.
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", _opened(value, 0)) + "\n"


def _opened(value: Any, indent: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= _WIDTH or not value or not isinstance(value, dict | list):
        return flat
    inner = " " * (indent + 1)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        lines = [
            f"{json.dumps(name, ensure_ascii=False)}: {_opened(one, indent + 1)}"
            for name, one in fields.items()
        ]
        opened, closed = "{", "}"
    else:
        lines = [_opened(one, indent + 1) for one in cast("list[Any]", value)]
        opened, closed = "[", "]"
    return f"{opened}\n{inner}" + f",\n{inner}".join(lines) + f"\n{' ' * indent}{closed}"
