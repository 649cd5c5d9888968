"""A file of Cedar policies as its statements, each with its place: Cedar's own errors know no lines.

@id("limit") @gate("human") @role("finance")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 5000 } ... ;
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Statement", "statements"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy, as it is written."""

    text: str
    """with its semicolon"""
    file: str
    line: int
    column: int
    """both count from 1"""

    def place(self, word: str = "") -> str:
        """`FILE:LINE:COLUMN` of a word in it; of the statement itself, where the word is not in it."""
        found = self.text.rfind(word) if word else 0
        before = self.text[: max(found, 0)]
        below = before.count("\n")
        column = len(before) - before.rfind("\n") if below else self.column + len(before)
        return f"{self.file}:{self.line + below}:{column}"


def statements(text: str, file: str) -> Iterator[Statement]:
    """The policies of a file, in order. What follows the last semicolon is one, too."""
    begin = i = 0
    while i < len(text):
        if text.startswith("//", i):
            end = text.find("\n", i)
            i = len(text) if end < 0 else end
        elif text[i] == '"':
            i = _after_string(text, i)
        elif text[i] == ";":
            i += 1
            yield _at(text, begin, i, file)
            begin = i
        else:
            i += 1
    if _skip_blank(text, begin) < len(text):
        yield _at(text, begin, len(text), file)


def _after_string(text: str, i: int) -> int:
    i += 1
    while i < len(text) and text[i] != '"':
        i += 2 if text[i] == "\\" else 1
    return i + 1


def _skip_blank(text: str, i: int) -> int:
    """Behind blanks and comments."""
    while i < len(text):
        if text.startswith("//", i):
            end = text.find("\n", i)
            i = len(text) if end < 0 else end
        elif text[i].isspace():
            i += 1
        else:
            break
    return i


def _at(text: str, begin: int, end: int, file: str) -> Statement:
    start = _skip_blank(text, begin)
    before = text[:start]
    return Statement(text[start:end], file, before.count("\n") + 1, start - before.rfind("\n"))
