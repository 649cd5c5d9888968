"""Words as a database indexes them: each with its space's number before it.

So a space has lists of its own in the index: what another tenant has costs it nothing, and tells it nothing either (how
rare a word is, is counted in its space alone).
"""

from __future__ import annotations

from collections.abc import Mapping

from .words import words_of

__all__ = ["MOST_READ", "scoped", "shares", "telling"]

MOST_READ = 12_000
"""Places in the index that one search reads, so that a word that stands everywhere costs no more than a rare one."""


def scoped(space: int, text: str) -> list[str]:
    """The words of a text in that space, in order. A digit ends before the first `x`: no two spaces share a word."""
    return [f"{space}x{word}" for word in words_of(text)]


def telling(having: Mapping[str, int], *, items: int) -> dict[str, int]:
    """The words that some items have, the rarest first. One that most have tells nothing: it is left out beside others.

    `having` says how many items have each.
    """
    known = sorted((n, word) for word, n in having.items() if n)
    return {word: n for n, word in [(n, word) for n, word in known if n * 2 <= items] or known}


def shares(words: Mapping[str, int], *, most: int = MOST_READ) -> dict[str, int]:
    """How many places to read of each word, the rarest first: all, until `most` are reached; then what is left."""
    found: dict[str, int] = {}
    for word, n in words.items():
        if most <= 0:
            break
        found[word] = min(n, most)
        most -= n
    return found
