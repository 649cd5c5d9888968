"""What every facet of a run stands on: the recorder, the app around it, and who the run is."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from ..core.principal import Principal
from .agent import Agent
from .calendar.schedule import SCHEDULED_AT
from .replay.recorder import Recorder
from .replay.scope import current_scope

if TYPE_CHECKING:
    from .segment import Surroundings

__all__ = ["RunBase"]


class RunBase:
    """Who the run is, and whether it has been cancelled."""

    def __init__(
        self, recorder: Recorder, surroundings: Surroundings, *, agent: Agent, labels: Mapping[str, str]
    ) -> None:
        self._recorder = recorder
        self._surroundings = surroundings
        self._agent = agent
        self._labels = dict(labels)
        self._items: set[str] = set()
        """work items that it has been given since it began here: branches that ask at once get different ones"""

    @property
    def id(self) -> str:
        """The run's id, unique in its tenant."""
        return self._recorder.ref.id

    @property
    def tenant(self) -> str:
        """The tenant that the run belongs to."""
        return self._recorder.ref.tenant

    @property
    def task(self) -> str | None:
        """The task that it was started for, by name; None: its agent has no tasks."""
        return self._recorder.task

    @property
    def principal(self) -> str | None:
        """On whose behalf it and its children act: who started it (`user:ann`, `schedule:nightly`); None: nobody said.

        A name, to show and to log. Who vouched for it, if anybody did, and what it may do, is in `on_behalf_of`: grant
        nothing by the name alone.
        """
        return self._recorder.principal

    @property
    def on_behalf_of(self) -> Principal | None:
        """For whom it and its children act, who vouched for that, and what they may do here; None: nobody said.

        As it was recorded when the run was started: the same on every replay, whatever its token is worth by then.
        """
        return self._recorder.on_behalf_of

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it was started with."""
        return dict(self._labels)

    @property
    def scheduled_at(self) -> datetime | None:
        """The time for which a schedule started it, as its cron says, not when it began; None: no schedule did."""
        at = self._labels.get(SCHEDULED_AT)
        return None if at is None else datetime.fromisoformat(at)

    @property
    def cancelled(self) -> bool:
        """Whether the run has been cancelled; its steps go on only under `shield`."""
        return self._recorder.cancel is not None

    @contextmanager
    def shield(self) -> Generator[None]:
        """Within it steps go on although the run was cancelled: for cleaning up."""
        scope = current_scope(self._recorder)
        before = scope.shielded
        scope.shielded = True
        try:
            yield
        finally:
            scope.shielded = before
