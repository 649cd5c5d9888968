"""Names of entities: when two are the same, how similar two are, and where similar ones are looked for.

Two names are the same when they differ in case, punctuation and spaces only. Similar ones are found by *blocks*: the
beginning and the end of each of their words. Names without a common block are never compared, so that a million of
them stay quick (and sealed ones can be looked for by marks of their blocks, without being read).
"""

from __future__ import annotations

import unicodedata
from difflib import SequenceMatcher

from ...core.errors import ConfigError

__all__ = ["DOUBTFUL", "blocks", "name", "same", "similarity", "word"]

LONGEST_NAME = 500
LONGEST_WORD = 100
DOUBTFUL = 0.8
"""From this similarity on two names may be one: `Ann Smith` and `Anna Smith` have 0.95, `Acme` and `Akme` 0.75."""

_BLOCK = 3
_MOST_BLOCKS = 24


def name(text: str, *, what: str = "an entity's name") -> str:
    """Without spaces around. Raises `ConfigError` for what is no name."""
    text = " ".join(text.split())
    if not text or "\0" in text or len(text) > LONGEST_NAME:
        raise ConfigError(
            f"`{text[:80]}` cannot be {what}: give 1 to {LONGEST_NAME} characters without U+0000"
        )
    return text


def word(text: str, *, what: str) -> str:
    """A kind or a relation, which models write now one way and now another: `Works at` is `works_at`."""
    read = "_".join(unicodedata.normalize("NFKC", text).casefold().replace("-", " ").split())
    if not read or "\0" in read or len(read) > LONGEST_WORD:
        raise ConfigError(
            f"`{text[:80]}` cannot be {what}: give 1 to {LONGEST_WORD} characters, as in `works_at`"
        )
    return read


def same(text: str) -> str:
    """What two names have in common that are the same."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded).split()
    return " ".join(words) or " ".join(folded.split())


def similarity(one: str, other: str) -> float:
    """0 to 1: how much of two names is the same, whatever their accents and the order of their words."""
    one, other = _plain(one), _plain(other)
    in_order = SequenceMatcher(None, one, other, autojunk=False).ratio()
    one, other = " ".join(sorted(one.split())), " ".join(sorted(other.split()))
    return max(in_order, SequenceMatcher(None, one, other, autojunk=False).ratio())


def blocks(text: str) -> list[str]:
    """Where a name is looked for among similar ones."""
    found: dict[str, None] = {}
    for each in _plain(text).split():
        found[f"{each[:_BLOCK]}-"] = None
        if len(each) > 1:
            found[f"-{each[-_BLOCK:]}"] = None
    return list(found)[:_MOST_BLOCKS]


def _plain(text: str) -> str:
    """Without accents."""
    apart = unicodedata.normalize("NFKD", same(text))
    return "".join(c for c in apart if unicodedata.category(c)[0] != "M")
