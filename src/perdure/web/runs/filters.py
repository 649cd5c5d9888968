"""What is listed: filters as they stand in an address, so that a list can be sent to somebody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from starlette.datastructures import QueryParams

from ...core.clock import to_micros
from ...core.errors import ConfigError
from ...core.ids import RunRef
from ...journal import ENDINGS, RunQuery, RunStatus, WaitReason
from ...views.runs import RunsQuery

__all__ = ["TABS", "Filters", "Tab"]

PAGE = 50
"""Runs on a page, where the address says no other."""

MOST = 200

SINCE = (("1h", "last hour"), ("24h", "last 24 hours"), ("7d", "last 7 days"), ("30d", "last 30 days"))


_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Tab:
    """A filter that is asked for often, with its count."""

    name: str
    statuses: tuple[RunStatus, ...]


TABS = (
    Tab("All", ()),
    Tab("Running", (RunStatus.RUNNING,)),
    Tab("Queued", (RunStatus.PENDING,)),
    Tab("Waiting", (RunStatus.WAITING,)),
    Tab("Succeeded", (RunStatus.SUCCEEDED,)),
    Tab("Needs a look", (RunStatus.PARTIAL, RunStatus.ESCALATED, RunStatus.QUARANTINED)),
    Tab("Failed", (RunStatus.FAILED,)),
    Tab("Cancelled", (RunStatus.CANCELLED,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which runs, as people say it."""

    statuses: tuple[RunStatus, ...] = ()
    reason: str = ""
    agent: str = ""
    version: str = ""
    principal: str = ""
    parent: str = ""
    text: str = ""
    """a part of the goal"""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    since: str = ""
    before: str = ""
    """the run after which the page begins"""
    limit: int = PAGE

    @classmethod
    def of(cls, query: QueryParams) -> Filters:
        """From an address. Raises `ConfigError` for what cannot be meant."""
        statuses: list[RunStatus] = []
        for word in query.getlist("status"):
            if word:
                try:
                    statuses.append(RunStatus(word))
                except ValueError:
                    there = ", ".join(RunStatus)
                    raise ConfigError(f"status `{word[:40]}` is not one of {there}") from None
        reason = query.get("reason", "").strip()
        if reason and reason not in tuple(WaitReason):
            raise ConfigError(f"reason `{reason[:40]}` is not one of {', '.join(WaitReason)}")
        since = query.get("since", "").strip()
        if since:
            _duration(since)
        return cls(
            statuses=tuple(dict.fromkeys(statuses)),
            reason=reason,
            agent=query.get("agent", "").strip(),
            version=query.get("version", "").strip(),
            principal=query.get("principal", "").strip(),
            parent=query.get("parent", "").strip(),
            text=query.get("text", "").strip(),
            labels=_labels(query.getlist("label")),
            since=since,
            before=query.get("before", "").strip(),
            limit=_limit(query.get("limit", "")),
        )

    def query(self, tenant: str, *, now: int, before: RunRef | None = None) -> RunsQuery:
        """For a page of them."""
        return RunsQuery(
            tenant=tenant,
            statuses=frozenset(self.statuses),
            reason=self.reason or None,
            agent=self.agent or None,
            version=self.version or None,
            principal=self.principal or None,
            parent=self.parent or None,
            labels=self.labels,
            since=self._begin(now),
            text=self.text or None,
            limit=self.limit,
            before=before,
        )

    def counting(self, tenant: str, *, now: int) -> RunQuery:
        """For how many there are, whatever their goals say."""
        return RunQuery(
            tenant=tenant,
            statuses=frozenset(self.statuses),
            reason=self.reason or None,
            agent=self.agent or None,
            version=self.version or None,
            principal=self.principal or None,
            parent=self.parent or None,
            labels=self.labels,
            since=self._begin(now),
            own=False,
        )

    def _begin(self, now: int) -> int | None:
        return now - to_micros(_duration(self.since)) if self.since else None

    def told(self, **other: Any) -> dict[str, Any]:
        """As it stands in an address, with something else changed; the place in the list is not kept."""
        mine: dict[str, Any] = {
            "status": [s.value for s in self.statuses],
            "reason": self.reason,
            "agent": self.agent,
            "version": self.version,
            "principal": self.principal,
            "parent": self.parent,
            "text": self.text,
            "label": [f"{k}={v}" for k, v in self.labels.items()],
            "since": self.since,
            "limit": "" if self.limit == PAGE else self.limit,
        }
        return {name: value for name, value in {**mine, **other}.items() if value not in ("", None, [])}

    @property
    def narrow(self) -> bool:
        """Whether anything but the state is asked for."""
        return bool(self.told(status=[], limit=""))

    @property
    def chosen(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What is asked for beside the state: words, value, and the address without it."""
        names = ("text", "agent", "version", "reason", "principal", "parent", "since")
        given = [(name, str(getattr(self, name))) for name in names]
        found = [(name, value, self.told(**{name: ""})) for name, value in given if value]
        for key, value in self.labels.items():
            rest = [f"{k}={v}" for k, v in self.labels.items() if k != key]
            found.append(("label", f"{key}={value}", self.told(label=rest)))
        return found

    @property
    def live(self) -> bool:
        """Whether what is listed may still change: of the first page of anything that has not only ended."""
        return not self.before and not (self.statuses and set(self.statuses) <= ENDINGS)


def _duration(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or len(number) > 5 or int(number) < 1 or unit not in _UNITS:
        raise ConfigError(f"since `{text[:20]}` is not a time like `1h` or `7d`")
    return int(number) * _UNITS[unit]


def _labels(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        for pair in text.split():
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise ConfigError(f"label `{pair[:80]}` is not of the form `key=value`")
            found[key] = value
    return found


def _limit(given: str) -> int:
    if not given:
        return PAGE
    if not given.isdecimal() or not 1 <= int(given[:6]) <= MOST:
        raise ConfigError(f"limit `{given[:20]}` is not a number from 1 to {MOST}")
    return int(given)
