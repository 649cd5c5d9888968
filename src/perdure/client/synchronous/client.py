# Made by tools/make_sync_client.py of ../asynchronous: change that.
"""The client: one server, by nouns."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx2

from ..models import Health, Me, Readiness
from .approvals import Approvals
from .audit import Audit
from .governance import Agents, Budgets, Policies
from .link import Link
from .memory import Memory
from .operations import Alerts, Stops
from .runs import Runs
from .series import Series

__all__ = ["Client"]


class Client:
    """A server of Perdure, asked from elsewhere.

    `key` is an API key (`perdure keys create`) or a user's token; without one the variable `PERDURE_API_KEY` counts.
    `transport` is another way to the server than the network (`httpx2.ASGITransport`). `timeout` is in seconds.
    Used as a context, or closed by `close`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8321",
        *,
        key: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Raises `ConfigError` for what is no address."""
        self._link = Link(url, key=key, timeout=timeout, transport=transport)
        self.runs = Runs(self._link)
        self.approvals = Approvals(self._link)
        self.agents = Agents(self._link)
        self.budgets = Budgets(self._link)
        self.policies = Policies(self._link)
        self.memory = Memory(self._link)
        self.audit = Audit(self._link)
        self.stops = Stops(self._link)
        self.alerts = Alerts(self._link)
        self.series = Series(self._link)

    def run(self, agent: str, input: Any = None, **options: Any) -> Any:
        """Start a run, wait for its end, and return its result; see `runs.run`."""
        return self.runs.run(agent, input, **options)

    def me(self) -> Me:
        """Who the server takes this client for, and what they may."""
        return self._link.ask("GET", "/me", Me)

    def health(self) -> Health:
        """Whether the server answers, and which release it is."""
        return self._link.ask("GET", "/health", Health)

    def ready(self) -> Readiness:
        """Whether it can do what it is asked for."""
        return self._link.ask("GET", "/ready", Readiness)

    def close(self) -> None:
        """Let the connections go."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
