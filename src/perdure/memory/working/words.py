"""The words of a text, the same on every backend: what one finds by them the others find, too.

Databases cut texts each in its own way and language. So the cutting is done here, and they index what comes out.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LONGEST", "words_of"]

LONGEST = 48
"""Characters of a word; what is longer is a key or a digest, and its beginning tells it from others."""

_RUN = re.compile(r"[^\W_]+")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
"""Scripts that put no spaces between words: Thai, Lao, Japanese, Chinese."""


def words_of(text: str) -> list[str]:
    """The words, in order: without case and accents, plurals as singulars; pairs of characters where no spaces are."""
    found: list[str] = []
    for run in _RUN.findall(_plain(text)):
        at = 0
        for dense in _WITHOUT_SPACES.finditer(run):
            if dense.start() > at:
                found.append(_singular(run[at : dense.start()]))
            pairs = dense.group()
            found += [pairs[i : i + 2] for i in range(max(1, len(pairs) - 1))]
            at = dense.end()
        if at < len(run):
            found.append(_singular(run[at:]))
    return found


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c))).casefold()


def _singular(word: str) -> str:
    """The S-stemmer (Harman, "How effective is suffixing?", JASIS 42, 1991): it errs little, in other languages too."""
    if len(word) > 3 and word.endswith("s"):
        if word.endswith("ies") and not word.endswith(("eies", "aies")):
            word = word[:-3] + "y"
        elif not word.endswith(("us", "ss", "aes", "ees", "oes")):
            word = word[:-1]
    return word[:LONGEST]
