"""The port of working memory: items in spaces, found by their words and by their meaning.

A space is a named collection: the notes of one run, a handbook, what a tool has said. It promises:

- an item is added once under its write's key, however often that is asked for, and also after it was forgotten;
- whoever searches after a write has returned finds what it wrote, and nothing that was forgotten;
- nobody finds what another tenant, data subject or agent has;
- a search by words works on every backend. One by meaning finds what was added with a vector of the same model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

from ...core.errors import ConfigError
from ..port import Origin

__all__ = [
    "LONGEST_TEXT",
    "MOST_FOUND",
    "MOST_PARTS",
    "Found",
    "Part",
    "Passage",
    "Query",
    "Space",
    "SpaceHead",
    "Working",
]

LONGEST_TEXT = 1024 * 1024
"""Characters of what is added at once. A longer document is added in pieces."""
MOST_PARTS = 1000
"""Passages of one item."""
MOST_FOUND = 1000
"""Items of one search."""
LONGEST_SPACE = 600
"""Bytes of subject, agent and name, each character that is none of A-Z a-z 0-9 . _ ~ - written as `%XX`."""
LONGEST_WORD = 200
"""Characters of a kind or a source."""


class Space(NamedTuple):
    """Whose items, and which collection of theirs."""

    tenant: str
    subject: str | None
    """the data subject whom all in it is about; it is sealed under their key"""
    agent: str | None
    """None: all agents of the tenant read and write it"""
    name: str

    @property
    def key(self) -> str:
        """As one text in which no part can pose as another. Raises `ConfigError` for what is no name."""
        key = "/".join(quote(part or "", safe="") for part in (self.subject, self.agent, self.name))
        if not self.name or "\0" in self.name or len(key) > LONGEST_SPACE:
            raise ConfigError(
                f"`{self.name[:80]}` cannot be a space's name: give 1 to about 150 characters without U+0000, as in "
                "`handbook`"
            )
        return key

    @classmethod
    def of(cls, tenant: str, key: str) -> Space:
        """The space of that `key`."""
        subject, agent, name = (unquote(part) for part in key.split("/"))
        return cls(tenant, subject or None, agent or None, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A passage that is to be kept: a long text is kept, and found, in several."""

    text: str
    vector: bytes | None = None
    """what it means, as a model has it: numbers of 4 bytes, `packed`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage that is kept."""

    id: str
    """the same for all passages of one text"""
    part: int
    """which passage of the text, from 0"""
    kind: str
    """`note`, `document`, `result`, whatever the program says"""
    source: str
    """where the text is from, as the program says: a file, a URL, a tool; empty: nobody said"""
    text: str
    n: int
    """of the text: the newer one has the higher number"""
    at: int
    """microseconds, the store's clock"""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Passage):
    """A passage that a search found."""

    score: float
    """of the ranks in both lists; good for the order within one search, and for nothing else"""
    by: tuple[str, ...]
    """`words`, `meaning`, or both: in which list it stood"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for."""

    text: str = ""
    """its words; empty: by meaning alone"""
    vector: bytes | None = None
    """what it means; None: by words alone"""
    model: str | None = None
    """whose vector that is: others are not comparable"""
    k: int = 8
    """so many passages at most"""
    kinds: tuple[str, ...] = ()
    """only of these; empty: of all"""
    sources: tuple[str, ...] = ()
    """only from these; empty: from all"""
    without: tuple[str, ...] = ()
    """none that has one of these labels"""

    def check(self) -> Query:
        """Itself. Raises `ConfigError` for what cannot be asked."""
        if not 1 <= self.k <= MOST_FOUND:
            raise ConfigError(f"`{self.k}` items cannot be found at once: ask for 1 to {MOST_FOUND}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceHead:
    """A space as a whole."""

    space: Space
    items: int
    """passages that were ever added"""
    began: int
    changed: int


class Working(Protocol):
    """What a backend does for working memory. `key` names a write: done twice under one key, it is done once."""

    async def add(
        self,
        space: Space,
        parts: Sequence[Part],
        *,
        kind: str,
        source: str,
        origin: Origin,
        key: str,
        model: str | None = None,
        ttl: timedelta | None = None,
    ) -> str:
        """Keep a text; its id. `model` is whose vectors the parts have. With `ttl` it is not found after that time."""
        ...

    async def search(self, space: Space, query: Query) -> list[Found]:
        """The best passages, the best first."""
        ...

    async def get(self, space: Space, id: str) -> list[Passage]:
        """The passages of a text, in order; empty: there is none, or its time is over."""
        ...

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts; of those whose number is below `before`."""
        ...

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there, or rather, whether it is this write that took it."""
        ...

    async def erase(self, tenant: str, subject: str) -> int:
        """Delete all spaces of a data subject, those of single agents too; how many passages. For good."""
        ...

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys."""
        ...


def check_parts(parts: Sequence[Part], *, kind: str, source: str) -> None:
    """Raise `ConfigError` for what cannot be kept."""
    if not parts or not any(part.text.strip() for part in parts):
        raise ConfigError("an empty text cannot be remembered: nothing would find it")
    if any("\0" in part.text for part in parts):
        raise ConfigError("a text with U+0000 cannot be remembered: leave it out, as `passages` does")
    size = sum(len(part.text) for part in parts)
    if size > LONGEST_TEXT or len(parts) > MOST_PARTS:
        raise ConfigError(
            f"a text of {size:,} characters in {len(parts):,} passages is too long to be remembered at once: add it in "
            f"pieces of at most {LONGEST_TEXT:,} characters and {MOST_PARTS:,} passages"
        )
    for what, name in (("kind", kind), ("source", source)):
        if len(name) > LONGEST_WORD or "\0" in name or (what == "kind" and not name):
            raise ConfigError(
                f"`{name[:80]}` cannot be the {what} of what is remembered: give at most {LONGEST_WORD} characters"
            )
