"""What an operation answered, within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..answer import kept

__all__ = ["ApiResult", "answered"]

_TELLING = ("location", "link")
"""Headers that lead on: where something is now, where the next page is."""
_LONGEST_HEADER = 1000


class ApiResult(BaseModel):
    """What an operation has answered. Empty fields say nothing."""

    model_config = ConfigDict(frozen=True)

    status: int
    text: str = ""
    structured: Any = None
    """JSON, where that is the answer"""
    headers: dict[str, str] = {}
    """those that the document names, and those that lead on, in lower case"""
    failed: bool = False
    """it was turned down; `text` or `structured` says why"""
    cut: int = 0
    """characters that were too many, and are not here"""


def answered(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    encoding: str,
    named: list[str],
    most: int,
    secrets: Mapping[str, str],
) -> ApiResult:
    """The answer with at most `most` characters, and without the secrets that were sent along (by name)."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    structured: Any = None
    texts: list[str] = []
    if body and (kind == "application/json" or kind.endswith("+json")):
        try:
            structured = json.loads(body)
        except ValueError:
            texts = [_text(body, encoding)]
    elif body and _is_text(kind):
        texts = [_text(body, encoding)]
    elif body:
        texts = [f"[{kind or 'of no known kind'}, {len(body):,} bytes: not shown]"]
    found = kept(texts, structured, failed=status >= 400, most=most, secrets=secrets)
    told: dict[str, str] = {}
    for name in dict.fromkeys([*_TELLING, *(n.lower() for n in named)]):
        if name in headers and name != "set-cookie":
            told[name] = kept([headers[name]], None, failed=False, most=_LONGEST_HEADER, secrets=secrets).text
    return ApiResult(
        status=status,
        text=found.text,
        structured=found.structured,
        headers=told,
        failed=found.failed,
        cut=found.cut,
    )


def _is_text(kind: str) -> bool:
    return (
        kind.startswith("text/")
        or kind in ("application/xml", "application/yaml", "")
        or kind.endswith("+xml")
    )


def _text(body: bytes, encoding: str) -> str:
    try:
        return body.decode(encoding, "replace")
    except LookupError:  # no encoding that Python knows
        return body.decode("utf-8", "replace")
