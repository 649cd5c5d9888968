"""Where the values of a call come from: what the user said, which result of a tool, or nowhere that is known.

A model that is told "pay to this account" by an e-mail pays to that account. Nothing in the call shows it, but the
account's number does: it stands in the e-mail, and nowhere that is trusted.

    argument ──► leaf values ──► found whole, or as a word of it, in ─┬─ the input, or a source labelled `trusted`
                                                                       ├─ a source without such a label
                                                                       ├─ one labelled `untrusted`: anybody wrote it
                                                                       └─ none: the model made it

The best of them counts: who controls an untrusted source has not chosen what a trusted one says, too.

An address that stands nowhere, in a run that has read something untrusted, was put together, turned round or decoded
from it as likely as not: there are more ways to write an address than anybody can look for. So it counts as untrusted;
`derived` says that it was not found. Telling enough for that are addresses, paths, codes and numbers, no plain words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import pydantic_core

__all__ = ["LONGEST_LOOK", "TRUSTED", "UNTRUSTED", "Origin", "Source", "traced", "untrusted", "unvouched"]

UNTRUSTED = "untrusted"
"""The label of what somebody outside could have written."""
TRUSTED = "trusted"
"""The label of what the owner vouches for: a register of suppliers, not what suppliers write."""
SHORTEST_PART = 8
"""A text of so many characters that stands within another comes from there; shorter ones do by chance."""
LONGEST_LOOK = 1 << 20
"""Bytes of one source that are looked at; what is longer counts as holding anything, if it is untrusted."""
_GROUPING = re.compile(r"[\s\-./]+")
_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;|]+")
_NUMBER = re.compile(r"(?<!\d)(\d{1,3}(?:[.,'\u00a0\u202f]\d{3})+|\d+)([.,]\d\d)?(?!\d)")
"""With its groups of digits, and its smaller unit. No blanks: `12 34` are two numbers, and nobody has said 1234."""
_ADDRESS = re.compile(r"@|://|\w\.\w{2,}|\d{4,}|[a-z]\d|\d[a-z]|[\\/%=_~#&?]\w", re.IGNORECASE)
"""What stands in an address, a path or a code, and not in plain words."""
_DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}(T[\d:.+Z-]+)?|\d{1,2}:\d\d(:\d\d)?", re.IGNORECASE)
SMALLEST_NUMBER = 100
"""Numbers below it are counts, days and versions, which a model makes by the dozen."""
MOST_NAMED = 5
"""Sources that are named of a value that stands in none."""


@dataclass(frozen=True)
class Source:
    """Something that the run has been told."""

    name: str
    """`input`, or the key of the step"""
    payload: bytes = field(repr=False)
    """JSON"""
    labels: frozenset[str] = frozenset()

    @property
    def trusted(self) -> bool:
        """Whether it is not known that somebody outside could have written it."""
        return UNTRUSTED not in self.labels

    @property
    def vouched(self) -> bool:
        """Whether the owner vouches for it."""
        return self.trusted and TRUSTED in self.labels

    @cached_property
    def leaves(self) -> frozenset[str]:
        """Its values, and the words of its texts, as they are compared."""
        found: set[str] = set()
        for _, value in _leaves(self._value, ""):
            found.add(_spelt(value))
            if isinstance(value, str):
                found.update(_spelt(word.strip(".:!?")) for word in _WORD.findall(value))
                found.update(_numbers(value))
        found.discard("")
        return frozenset(found)

    @cached_property
    def text(self) -> str:
        """All its texts, for what stands within one; without what groups the digits of a number."""
        return "\n".join(_close(_spelt(v)) for _, v in _leaves(self._value, "") if isinstance(v, str))

    @cached_property
    def prose(self) -> str:
        """All its texts as they are read, for names of a few short words: `Rio Mar`."""
        return "\n".join(
            " ".join(_spelt(v).split()) for _, v in _leaves(self._value, "") if isinstance(v, str)
        )

    @cached_property
    def _value(self) -> Any:
        if len(self.payload) > LONGEST_LOOK:
            return None
        return pydantic_core.from_json(self.payload)

    def holds(self, value: Any) -> bool:
        """Whether a value of an argument could have been taken from here."""
        if len(self.payload) > LONGEST_LOOK:
            return not self.trusted
        spelt = _spelt(value)
        if spelt in self.leaves:
            return True
        if len(spelt) >= SHORTEST_PART:
            return _close(spelt) in self.text
        return " " in spelt and _phrase(spelt).search(self.prose) is not None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value of a call comes from."""

    argument: str
    """its path: `payee`, `lines.0.account`"""
    sources: Sequence[str]
    """the names of those that hold it, the trusted first; none: the model made it, or took it together"""
    trusted: bool
    """one of them is not labelled untrusted"""
    vouched: bool = False
    """one of them is the input, or labelled trusted"""
    labels: frozenset[str] = frozenset()
    """of the best of the sources that hold it"""
    derived: bool = False
    """no source holds it, and it may come from these all the same"""


def traced(arguments: Mapping[str, Any], sources: Iterable[Source]) -> list[Origin]:
    """The origin of each value of a call. Booleans and nothing have none: there are too few of them to tell."""
    known = list(sources)
    found: list[Origin] = []
    for path, value in _leaves(arguments, ""):
        if value is None or isinstance(value, bool) or value == "":
            continue
        holding = [s for s in known if s.holds(value)] or _in_parts(value, known)
        if not holding and _stands_nowhere(value, known):
            heard = [s for s in known if not s.trusted][-MOST_NAMED:]
            if heard:
                names = tuple(dict.fromkeys(s.name for s in heard))
                labels = frozenset[str]().union(*(s.labels for s in heard))
                found.append(Origin(path, names, trusted=False, labels=labels, derived=True))
                continue
        trusted = [s for s in holding if s.trusted]
        names = [s.name for s in (*trusted, *(s for s in holding if not s.trusted))]
        vouched = [s for s in trusted if s.vouched]
        labels = frozenset[str]().union(*(s.labels for s in vouched or trusted or holding))
        found.append(Origin(path, tuple(dict.fromkeys(names)), bool(trusted), bool(vouched), labels))
    return found


def untrusted(origins: Iterable[Origin]) -> frozenset[str]:
    """The arguments, by name, that hold a value of an untrusted source which no trusted one holds."""
    return frozenset(_name(o) for o in origins if o.sources and not o.trusted)


def unvouched(origins: Iterable[Origin]) -> frozenset[str]:
    """The arguments, by name, that hold a value which neither the input holds nor a source labelled trusted."""
    return frozenset(_name(o) for o in origins if not o.vouched)


def _name(origin: Origin) -> str:
    return origin.argument.partition(".")[0]


def _in_parts(value: Any, sources: Sequence[Source]) -> list[Source]:
    """Untrusted sources whose longer words stand in a text that is taken together: a letter that quotes an address.

    Only those: that the model has words of the user in its text makes the rest of it no more trusted.
    """
    if not isinstance(value, str) or len(value) < SHORTEST_PART:
        return []
    words = {_spelt(word.strip(".:!?")) for word in _WORD.findall(value)}
    telling = {word for word in words if len(word) >= SHORTEST_PART and not word.isalpha()}
    vouched = frozenset[str]().union(*(s.leaves for s in sources if s.trusted))
    telling -= vouched
    return [s for s in sources if not s.trusted and telling & s.leaves]


def _stands_nowhere(value: Any, sources: Sequence[Source]) -> bool:
    """Whether a value tells something that could be an address, and that no trusted source holds."""
    if isinstance(value, int | float):
        return abs(value) >= SMALLEST_NUMBER
    words = (_spelt(word.strip(".:!?")) for word in _WORD.findall(str(value)))
    telling = {word for word in words if _ADDRESS.search(word) and not _DATE.fullmatch(word)}
    return any(not any(s.trusted and s.holds(word) for s in sources) for word in telling)


def _numbers(text: str) -> Iterator[str]:
    """The numbers in a text without what groups their digits: `1,200.00` as 1200, and as 120000 of the smaller unit."""
    for found in _NUMBER.finditer(text):
        whole = "".join(c for c in found[1] if c.isdecimal())
        yield whole
        if found[2]:
            yield whole + found[2][1:]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            yield from _leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple | set | frozenset):
        for i, each in enumerate(cast("Iterable[Any]", value)):
            yield from _leaves(each, f"{path}.{i}" if path else str(i))
    else:
        yield path, value


def _spelt(value: Any) -> str:
    """As values are compared: case and blanks at the ends hide nothing, nor does a number that is written as text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()


def _phrase(spelt: str) -> re.Pattern[str]:
    """Whole words, in this order: a part of a word is there by chance."""
    return re.compile(rf"(?<!\w){re.escape(' '.join(spelt.split()))}(?!\w)")


def _close(spelt: str) -> str:
    return _GROUPING.sub("", spelt)
