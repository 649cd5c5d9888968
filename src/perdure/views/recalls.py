"""What a step has recalled, in words and as JSON: which items, in which order, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..governance.policy.remembering import REMEMBERING
from ..memory import Recalled

__all__ = ["WAITS_FOR_REVIEW", "recalled_told", "recalled_words", "waits_for_review"]

WAITS_FOR_REVIEW = "waits for a review before anybody recalls it"


def recalled_words(answer: Recalled[Any]) -> str:
    """In a line: `3 items of memory (untrusted); 2 left out: withdrawn`."""
    n = len(answer.items)
    labels = f" ({', '.join(answer.labels)})" if answer.labels else ""
    words = ("1 item" if n == 1 else f"{n} items") + f" of memory{labels}"
    return "; ".join([words, *(f"{out.items} left out: {out.why}" for out in answer.left_out)])


def recalled_told(answer: Recalled[Any]) -> dict[str, Any]:
    """As JSON, without what the items say."""
    return {
        "items": [
            {"rank": rank, "id": item.id, "labels": list(item.labels), "score": item.score}
            for rank, item in enumerate(answer.items, 1)
        ],
        "left_out": [
            {"items": out.items, "why": out.why, "policies": list(out.policies)} for out in answer.left_out
        ],
    }


def waits_for_review(key: str, result: Mapping[str, Any]) -> bool:
    """Whether a step was a write to memory that was held back."""
    name = key.rpartition("/")[2].partition(":")[0]
    return name in REMEMBERING and list(result) == ["proposal"]
