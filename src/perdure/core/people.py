"""Who is meant by a name: whether two names are one person, and whether it is a person at all."""

from __future__ import annotations

import unicodedata

__all__ = ["is_agent", "person"]


def person(name: str) -> str:
    """Who is meant by a name, for comparing: `user:Ann` and `ann` are one, and so are their look-alike spellings."""
    return _plain(name).removeprefix("user:").strip()


def is_agent(sender: str) -> bool:
    """Whether it is no human: a run, an agent, the worker of one, a schedule, a system."""
    return _plain(sender).startswith(_NO_HUMANS)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


_NO_HUMANS = (
    "run ",
    "run:",
    "agent:",
    "agent ",
    "worker:",
    "schedule:",
    "schedule ",
    "system:",
    "spiffe:",
)
