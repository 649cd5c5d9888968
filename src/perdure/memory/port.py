"""The port of memory, and the values that all its layers share.

An item of memory says where it comes from: which run wrote it, in which step, when, and under which labels. Labels are
those of what that run had read, so that text from outside is not washed clean by being remembered.

A session (a conversation, a case) lives over days and workers. What it promises:

- a write is done once under its key, however often it is asked for;
- whoever reads after a write has returned sees it;
- `if_version` compares and sets: of two that have read the same version one writes, and the other is told;
- messages are numbered from 1 without a gap, in the order in which they were written; a summary replaces none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote

from ..core.errors import ConfigError

__all__ = ["Kept", "Message", "Origin", "Place", "SessionHead", "Sessions", "Summary", "Written"]

LONGEST_PLACE = 600
"""Bytes of a subject and a session, each character that is none of A-Z a-z 0-9 . _ ~ - written as `%XX`."""


class Place(NamedTuple):
    """Whose memory: nobody reads across tenants, from one data subject to another, or what is one agent's own."""

    tenant: str
    subject: str | None
    session: str
    agent: str | None = None
    """the only agent that reads it; None: all of the tenant's"""

    @property
    def name(self) -> str:
        """As one text in which no part can pose as another. Raises `ConfigError` for what is no name."""
        name = f"{self._whose}/{_quoted(self.session)}"
        if not self.session or "\0" in self.session or len(name) > LONGEST_PLACE:
            raise ConfigError(
                f"`{self.session[:80]}` cannot be a session's name: give 1 to about 200 characters without U+0000, as "
                "in `case-17`"
            )
        return name

    @property
    def _whose(self) -> str:
        subject = _quoted(self.subject or "")
        return subject if self.agent is None else f"{subject}@{_quoted(self.agent)}"

    @classmethod
    def of(cls, tenant: str, name: str) -> Place:
        """The place of that `name`."""
        whose, _, session = name.partition("/")
        subject, private, agent = whose.partition("@")
        return cls(tenant, unquote(subject) or None, unquote(session), unquote(agent) if private else None)


def _quoted(text: str) -> str:
    return quote(text, safe="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an item comes from."""

    run: str
    """the id of the run that wrote it, in its tenant"""
    step: str
    """the key of the step in which it did"""
    labels: tuple[str, ...] = ()
    """of what the run had read by then; `untrusted` where nobody kept an account of it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a session."""

    n: int
    """counted from 1; of a summary, up to which message it goes"""
    role: str
    """`user`, `assistant`, whatever the program says; `summary` stands for those that were summed up"""
    content: Any
    """JSON"""
    at: int
    """microseconds, the store's clock"""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A value of a session."""

    key: str
    value: Any
    """JSON"""
    version: int
    """for `if_version`; in one session no two writes have the same, also where a key was deleted between them"""
    at: int
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What stands for the messages up to `upto` where a conversation is read again. They are all still there."""

    upto: int
    text: str
    at: int
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHead:
    """A session as a whole."""

    place: Place
    messages: int
    """how many were ever written"""
    version: int
    """of the value that was written last"""
    summary: Summary | None
    began: int
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of a write."""

    version: int
    """of the message its number, of a value its version; of a conflict, the version that stands there (0: none)"""
    conflict: bool = False
    """nothing was written: somebody else was first"""


class Sessions(Protocol):
    """What a backend does for sessions. `key` names a write: done twice under one key, it is done once."""

    async def append(
        self,
        place: Place,
        role: str,
        content: Any,
        *,
        origin: Origin,
        key: str,
        ttl: timedelta | None = None,
    ) -> Written:
        """Add a message; its number. With `ttl` it is not seen any more after that time."""
        ...

    async def set(
        self,
        place: Place,
        name: str,
        value: Any,
        *,
        origin: Origin,
        key: str,
        if_version: int | None = None,
        ttl: timedelta | None = None,
    ) -> Written:
        """Put a value under a name; only where `if_version` (0: nothing) stands there, if it is given."""
        ...

    async def delete(self, place: Place, name: str, *, key: str, if_version: int | None = None) -> Written:
        """Take a value away."""
        ...

    async def compact(self, place: Place, text: str, *, upto: int, origin: Origin, key: str) -> Written:
        """Let `text` stand for the messages up to `upto`; a conflict where a summary goes as far already."""
        ...

    async def get(self, place: Place, name: str) -> Kept | None:
        """A value; None: there is none, or its time is over."""
        ...

    async def values(self, place: Place, *, limit: int = 1000) -> list[Kept]:
        """Values, by name."""
        ...

    async def messages(
        self, place: Place, *, last: int | None = None, after: int = 0, limit: int = 100, whole: bool = False
    ) -> list[Message]:
        """The `last` messages, or those behind number `after`, at most `limit`; in order.

        A summary comes first, as a message of role `summary`, in place of those that it sums up; not with `whole`.
        """
        ...

    async def head(self, place: Place) -> SessionHead | None:
        """The session as a whole; None: nobody has written to it."""
        ...

    async def ls(self, tenant: str, *, after: Place | None = None, limit: int = 100) -> list[SessionHead]:
        """Sessions of a tenant, in the order of their subjects and names."""
        ...

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete all sessions of a data subject, those of single agents too; how many messages, values and summaries.

        For good. What is written meanwhile may be left: called again it is gone too.
        """
        ...
