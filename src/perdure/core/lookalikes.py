r"""Text that somebody else wrote, shown to a human who is to judge it: nothing hidden, nothing that passes for another.

Three things lie to an eye: characters that are not seen (zero width, control), characters that change how others are
seen (U+202E turns the line around), and letters that look like others (Cyrillic `а` in `pаypal`). The first two are
written as `\u202e`, the third is escaped too, and each is told by `suspicious`. Terminals and channels both use this.
"""

from __future__ import annotations

import unicodedata
from typing import Any

__all__ = ["safe", "strings_in", "suspicious", "visible"]

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
"""Those with letters that look like letters of another."""

# Letters of other alphabets that are drawn as Latin ones are: those of Unicode's confusables.txt that count in words.
_AS_LATIN = dict(
    zip(
        "аеорсухіјѕһԁԛԝӏьгѵАВЕКМНОРСТУХІЈЅҺԚԜӀ" + "αοιυνρτκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "օոսհցՕ",
        "aeopcyxijshdqwlbrvABEKMHOPCTYXIJSHQWI" + "aoiuvptkABEZHIKMNOPTYX" + "onuhgO",
        strict=True,
    )
)


def safe(text: str, *, lines: bool = False) -> str:
    r"""`text` with what a terminal would obey, or an eye would miss, written as `\uXXXX`.

    Control characters, direction overrides, zero-width and unassigned characters; with `lines`, line breaks and tabs
    are kept.
    """
    kept = "\n\t" if lines else ""
    return "".join(_escape(c) if c not in kept and _hides(c) else c for c in text)


def visible(text: str, *, lines: bool = False) -> str:
    r"""As `safe`, and letters in which a word passes for another one are written as `\uXXXX` too."""
    shown = text
    for word in _words(text):
        if _mixed(word) or _reads_as(word):
            shown = shown.replace(word, "".join(c if c.isascii() else _escape(c) for c in word))
    return safe(shown, lines=lines)


def suspicious(text: str) -> list[str]:
    """What is odd about a text that a human is to judge: hidden characters, words that pass for others."""
    found: list[str] = []
    hidden = sorted({c for c in text if _hides(c) and c not in "\n\t\r"})
    if hidden:
        names = ", ".join(
            f"{_escape(c)} ({unicodedata.name(c, 'control character').lower()})" for c in hidden
        )
        found.append(f"hidden characters, shown escaped: {names}")
    for word in _words(text):
        alphabets = _mixed(word)
        read = _reads_as(word)
        if alphabets:
            mixed = " and ".join(sorted(a.title() for a in alphabets))
            found.append(f"`{safe(word)}` mixes {mixed} letters that look alike")
        elif read:
            found.append(f"`{visible(word)}` is drawn like `{read}`, and is another word")
    return found


def strings_in(value: Any) -> str:
    """All texts in a JSON value, for looking at them."""
    if isinstance(value, dict):
        return " ".join(f"{k} {strings_in(v)}" for k, v in value.items())  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]  # JSON
    if isinstance(value, list):
        return " ".join(strings_in(v) for v in value)  # pyright: ignore[reportUnknownVariableType]  # JSON
    return value if isinstance(value, str) else ""


def _words(text: str) -> list[str]:
    if text.isascii():
        return []
    # digits belong to a word here: `g00gle`, and fullwidth ones
    return list(dict.fromkeys("".join(c if c.isalnum() else " " for c in text).split()))


def _mixed(word: str) -> set[str]:
    """Its alphabets, where there are several that look alike; else none."""
    alphabets = {_alphabet(c) for c in word if c.isalpha()} & _ALPHABETS
    return alphabets if len(alphabets) > 1 else set()


def _reads_as(word: str) -> str | None:
    """The Latin word for which a word of other letters passes; None: for none."""
    if word.isascii() or not any(c.isalpha() for c in word):
        return None
    folded = unicodedata.normalize("NFKC", word)
    if folded != word and folded.isascii():
        return folded  # fullwidth, mathematical and circled letters
    letters = [c for c in word if not c.isascii()]
    # A word of two letters that happen to look Latin is a word; a long one that does throughout was chosen so.
    if len(letters) < 3 or any(c not in _AS_LATIN for c in letters):
        return None
    return "".join(_AS_LATIN.get(c, c) for c in word)


def _hides(c: str) -> bool:
    # Blank letters are letters by category: HANGUL FILLER and its like.
    return unicodedata.category(c) in _HIDDEN or c in "\u115f\u1160\u3164\uffa0\u2800\u034f"


def _escape(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) <= 0xFFFF else f"\\U{ord(c):08x}"


def _alphabet(c: str) -> str:
    return unicodedata.name(c, "").partition(" ")[0]
