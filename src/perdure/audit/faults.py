"""What a verification finds wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..core.ids import RunRef

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is not what was written, and where."""

    what: str
    """`run`, `leaf`, `tree` or `checkpoint`"""
    message: str
    run: RunRef | None = None
    entry: int | None = None
    leaf: int | None = None

    @classmethod
    def of_run(cls, ref: RunRef, error: Exception) -> Fault:
        """What is wrong with a run; entry and leaf are taken from the words that name them."""
        text = str(error)
        return cls(
            what="run", message=text, run=ref, entry=_number("entry", text), leaf=_number("leaf", text)
        )

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "what": self.what,
            "tenant": None if self.run is None else self.run.tenant,
            "run": None if self.run is None else self.run.id,
            "entry": self.entry,
            "leaf": self.leaf,
            "message": self.message,
        }


def _number(word: str, text: str) -> int | None:
    found = re.search(rf"\b{word} (\d+)", text)
    return None if found is None else int(found[1])
