"""What is typed on a command line, as values. Each function raises `ConfigError` that shows what was typed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError

__all__ = ["assignments", "duration", "json_text", "json_value", "labels"]

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d|w)")


def duration(text: str, *, what: str) -> timedelta:
    """`10s`, `1h30m`, `3d`, or a number of seconds."""
    compact = text.strip().lower().replace(" ", "")
    try:
        if re.fullmatch(r"\d+(\.\d+)?", compact):
            found = timedelta(seconds=float(compact))
        else:
            parts = _PART.findall(compact)
            if not parts or "".join(n + unit for n, unit in parts) != compact:
                raise ValueError
            found = sum((float(n) * _UNITS[unit] for n, unit in parts), timedelta())
    except (ValueError, OverflowError):
        raise ConfigError(f"{what} `{text[:80]}` is not a duration: write `10s`, `1h30m` or `3d`") from None
    if found <= timedelta():
        raise ConfigError(f"{what} `{text[:80]}` must be longer than nothing")
    return found


def json_value(text: str, *, what: str) -> Any:
    """A JSON value."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "; quote text for JSON and for the shell: '\"text\"'" if re.match(r"\s*[A-Za-z]", text) else ""
        raise ConfigError(f"{what} `{text[:80]}` is not JSON ({error}){hint}") from None


def json_text(text: str, *, what: str) -> Any:
    """A JSON value given as it is, as `@FILE`, or as `-` for standard input."""
    if text == "-":
        return json_value(sys.stdin.read(), what=f"{what} from standard input,")
    if text.startswith("@"):
        file = Path(text[1:])
        try:
            read = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{what} cannot be read from `{file}`: {error}") from None
        return json_value(read, what=f"{what} from `{file}`,")
    return json_value(text, what=what)


def assignments(given: Sequence[str], *, what: str) -> dict[str, Any]:
    """`name=value` pairs: the value is JSON where it is any, else text."""
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"{what} `{pair[:80]}` is not of the form `NAME=VALUE`")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def labels(given: Sequence[str]) -> dict[str, str]:
    """`key=value` pairs."""
    found: dict[str, str] = {}
    for label in given:
        key, equals, value = label.partition("=")
        if not equals or not key:
            raise ConfigError(f"label `{label[:80]}` is not of the form `key=value`")
        found[key] = value
    return found
