"""What is searched for, as it stands in an address, so that an answer can be sent to somebody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.datastructures import QueryParams

from ...audit import Selection
from ...core.clock import to_micros
from ...core.errors import ConfigError

__all__ = ["SINCE", "Search"]

SINCE = (("1d", "last day"), ("7d", "last 7 days"), ("30d", "last 30 days"), ("365d", "last year"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A question of an auditor."""

    action: str = ""
    """a tool's name, or a pattern: `pay*`; empty: any"""
    agent: str = ""
    person: str = ""
    argument: str = ""
    """`name=value`, several with spaces between"""
    since: str = ""
    reads: bool = False
    before: str = ""
    """the run behind which the page begins"""
    given: bool = False
    """whether anything was asked"""

    @classmethod
    def of(cls, query: QueryParams) -> Search:
        """From an address. Raises `ConfigError` for what cannot be meant."""
        names = ("action", "agent", "person", "argument", "since", "before")
        told = {name: query.get(name, "").strip() for name in names}
        made = cls(**told, reads=query.get("reads") == "1", given="action" in query)
        made.arguments  # noqa: B018  # raises
        made._began(0)
        return made

    @property
    def arguments(self) -> list[tuple[str, str]]:
        """Which arguments a call must have had."""
        found: list[tuple[str, str]] = []
        for pair in self.argument.split():
            name, equals, value = pair.partition("=")
            if not equals or not name:
                raise ConfigError(f"argument `{pair[:80]}` is not of the form `name=value`")
            found.append((name, value))
        return found

    def selection(self, tenant: str, *, now: int) -> Selection:
        """Which runs are looked through."""
        return Selection(
            tenant=tenant,
            run=None,
            agent=self.agent or None,
            person=self.person or None,
            since=self._began(now),
            until=None,
        )

    def told(self, **other: Any) -> dict[str, Any]:
        """As it stands in an address, with something else changed."""
        mine: dict[str, Any] = {
            "action": self.action or "*",
            "agent": self.agent,
            "person": self.person,
            "argument": self.argument,
            "since": self.since,
            "reads": "1" if self.reads else "",
            "before": self.before,
        }
        return mine | other

    def _began(self, now: int) -> int | None:
        if not self.since:
            return None
        days = self.since.removesuffix("d")
        if not days.isdecimal() or not 1 <= int(days[:5]) <= 36_500:
            raise ConfigError(f"since `{self.since[:20]}` is not a number of days like `7d`")
        return now - to_micros(timedelta(days=int(days[:5])))
