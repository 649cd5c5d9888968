"""A long text in passages that can be found and shown each by itself."""

from __future__ import annotations

import re

__all__ = ["PASSAGE", "cleaned", "passages"]

PASSAGE = 1600
"""Characters of a passage at most: about 400 tokens, which every embedding model takes."""

_ENDS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?。！？])\s*"), re.compile(r"\s+"))
"""Where a text may be cut: behind a paragraph, a line, a sentence, a word; the first that leaves enough is taken."""


def passages(text: str, *, longest: int = PASSAGE) -> list[str]:
    """The text cut at paragraphs, or else lines, sentences, words. Nothing is lost but the white space at the cuts."""
    found: list[str] = []
    rest = text.strip()
    while len(rest) > longest:
        at = _cut(rest, longest)
        if piece := rest[:at].strip():
            found.append(piece)
        rest = rest[at:].strip()
    return [*found, rest] if rest else found


def cleaned(text: str) -> str:
    """Without what no database keeps as text: U+0000, and half a pair of UTF-16."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _cut(text: str, longest: int) -> int:
    for ends in _ENDS:
        last = 0
        for match in ends.finditer(text, 0, longest + 1):
            if match.end() <= longest:
                last = match.end()
        if last >= longest // 4:
            return last
    return longest
