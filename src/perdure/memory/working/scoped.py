"""Words as a database indexes them: each with its space's number before it.

So a space has lists of its own in the index: what another tenant has costs it nothing, and tells it nothing either (how
rare a word is, is counted in its space alone).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .ranking import idf
from .words import words_of

__all__ = ["MOST_READ", "scoped", "selective"]

MOST_READ = 20_000
"""Places in the index that one search reads, so that a word that stands everywhere costs no more than a rare one."""


def scoped(space: int, text: str) -> list[str]:
    """The words of a text in that space, in order. A digit ends before the first `x`: no two spaces share a word."""
    return [f"{space}x{word}" for word in words_of(text)]


def selective(having: Mapping[str, int], *, items: int, asked: Iterable[str]) -> dict[str, float]:
    """The words to look for and what each tells, the rarest first, until `MOST_READ` places are to be read.

    `having` says how many items have a word. One that most items have tells nothing, and is left out beside others.
    """
    known = sorted((having[word], word) for word in set(asked) if having.get(word))
    telling = [(n, word) for n, word in known if n * 2 <= items] or known
    chosen: dict[str, float] = {}
    read = 0
    for n, word in telling:
        if chosen and read + n > MOST_READ:
            break
        chosen[word] = idf(max(items, n), n)
        read += n
    return chosen
