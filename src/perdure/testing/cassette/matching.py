"""Whether two requests ask for the same, and in what they differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from .redaction import REDACTED

__all__ = ["Difference", "differences", "essence"]

_BESIDE = {
    "stream", "stream_options", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "service_tier",
}  # fmt: skip
"""What does not change what a model sees."""

_TALK = ("messages", "input", "contents")
_IDS = {"id", "call_id", "tool_call_id", "tool_use_id"}
_SEALS = {"signature", "thoughtSignature", "encrypted_content"}
_MEANT = {"args", "response", "arguments", "output"}
"""Below these stand the tool's own words, where an `id` is one of them."""

_ABSENT = "[nothing]"
_SHOWN = 80
"""characters of a value in a message"""


class Difference(NamedTuple):
    """One place in which two requests differ."""

    place: str
    recorded: str
    asked: str

    def __str__(self) -> str:
        return f"`{self.place}` is `{self.asked}`, and `{self.recorded}` in the recording"


def essence(body: Any) -> Any:
    """What a request asks of a model: without what is beside the point, and with ids by the order in which they come.

    Frameworks make ids of calls themselves where a provider gives none, other ones each time.
    """
    if not isinstance(body, dict):
        return body
    names: dict[str, str] = {}
    fields = cast("dict[str, Any]", body)
    return {
        name: _said(value, names) if name in _TALK else value
        for name, value in fields.items()
        if name not in _BESIDE and value is not None
    }


def _said(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_said(one, names) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    used = fields.get("type") == "tool_use"
    found: dict[str, Any] = {}
    for name, one in fields.items():
        if name in _SEALS or one is None:
            continue
        if name in _IDS and isinstance(one, str):
            found[name] = names.setdefault(one, f"id {len(names) + 1}")
        elif name in _MEANT or (used and name == "input"):
            found[name] = _json(one)
        else:
            found[name] = _said(one, names)
    return found


def _json(value: Any) -> Any:
    """Arguments and results by their meaning: a framework need not write them as the model did."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def differences(recorded: Any, asked: Any, place: str = "") -> Iterator[Difference]:
    """Where two values differ. What was redacted in the recorded one may be anything."""
    if recorded == asked:
        return
    recorded, asked = _json(recorded), _json(asked)
    if isinstance(recorded, str) and REDACTED in recorded:
        text = asked if isinstance(asked, str) else json.dumps(asked)
        pattern = ".*".join(re.escape(part) for part in recorded.split(REDACTED))
        if re.fullmatch(pattern, text, re.DOTALL):
            return
    if isinstance(recorded, dict) and isinstance(asked, dict):
        one, other = cast("dict[str, Any]", recorded), cast("dict[str, Any]", asked)
        for name in {**one, **other}:
            yield from differences(
                one.get(name, _ABSENT), other.get(name, _ABSENT), f"{place}.{name}" if place else name
            )
    elif isinstance(recorded, list) and isinstance(asked, list):
        ones, others = cast("list[Any]", recorded), cast("list[Any]", asked)
        for i in range(max(len(ones), len(others))):
            yield from differences(
                ones[i] if i < len(ones) else _ABSENT,
                others[i] if i < len(others) else _ABSENT,
                f"{place}[{i}]",
            )
    else:
        yield Difference(place or "the body", *_shown(recorded, asked))


def _shown(recorded: Any, asked: Any) -> tuple[str, str]:
    """Both, from a little before where they part."""
    one, other = (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in (recorded, asked))
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    start = max(same - 20, 0) if max(len(one), len(other)) > _SHOWN else 0
    return _clipped(one, start), _clipped(other, start)


def _clipped(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")
