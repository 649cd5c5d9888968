"""Alerts: what people are told without having asked, and who of them; the table `[alerts]` of `perdure.toml`.

    [alerts]
    to = "desk"                          # a contact; without it the default one
    off = ["run_partial"]
    stuck_after = "PT15M"

    [alerts.routes]
    chain_broken = "security"            # another contact for one kind

Contacts are those of `[contacts]`: signed webhooks, mailboxes. Without the table there are no alerts.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["ALERTS", "AlertSettings"]

ALERTS: dict[str, str] = {
    "run_escalated": "a run was handed to people",
    "escalation_unanswered": "nobody has taken what was handed to people",
    "run_failed": "a run failed",
    "run_partial": "a run has done only a part",
    "run_quarantined": "a run killed its workers, and is quarantined",
    "run_in_doubt": "nobody knows whether an effect happened",
    "run_stuck": "a run does not move",
    "run_needs_connection": "a run waits for an account that its user has to connect",
    "no_worker": "runs wait, and no worker can run them",
    "worker_lost": "a worker died while it had runs",
    "approval_overdue": "an approval was not answered in time",
    "memory_unreviewed": "what agents would remember waits for a review",
    "budget_threshold": "a budget is nearly used up, or is",
    "chain_broken": "a journal or the audit log is not what was written",
    "watcher_finding": "a watcher has found something",
    "tool_changed": "a tool of somebody else's is not what was reviewed",
}
"""The kinds of alerts, and what each says. Each has a runbook: `docs/runbooks/`, with `-` for `_`."""


class AlertSettings(BaseModel):
    """Who is told of what, and from when on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str | None = None
    """the contact for all that `routes` does not name; None: the default one"""
    routes: dict[str, str] = {}
    """the contact by the alert's kind"""
    off: tuple[str, ...] = ()
    """kinds that nobody wants to hear of"""
    repeat: timedelta = Field(default=timedelta(hours=1), ge=timedelta(minutes=1))
    """how long an alert stays quiet that was told, although the same happens again"""
    forget: timedelta = Field(default=timedelta(days=7), ge=timedelta(hours=1))
    """after so long without another occurrence what has only happened (a run failed) is over"""
    stuck_after: timedelta = Field(default=timedelta(minutes=15), ge=timedelta(seconds=1))
    """how long a run may be at work, or due, without an entry in its journal"""
    approval_after: timedelta = Field(default=timedelta(hours=24), ge=timedelta(minutes=1))
    """how long a question may stand open that has no deadline of its own, and a write to memory wait for a review"""
    budget_at: tuple[float, ...] = (0.8, 1.0)
    """shares of a budget that are told, once each in a period"""
    runbooks: str = "docs/runbooks/"
    """where runbooks are found, for links in what is sent: an address, or a folder"""

    @field_validator("off")
    @classmethod
    def _known_off(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known(name) for name in given)

    @field_validator("routes")
    @classmethod
    def _known_routes(cls, given: dict[str, str]) -> dict[str, str]:
        return {_known(name): to for name, to in given.items()}

    @field_validator("budget_at")
    @classmethod
    def _shares(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < share <= 10 for share in given):
            raise ValueError("give shares of the budget: 0.8 is 80 %")
        return given

    def contact(self, kind: str) -> str | None:
        """Who is told of a kind; None: the default contact."""
        return self.routes.get(kind, self.to)

    def runbook(self, kind: str) -> str:
        """Where the page is that says what to do."""
        return f"{self.runbooks.rstrip('/')}/{kind.replace('_', '-')}.md"


def _known(name: str) -> str:
    if name not in ALERTS:
        raise ValueError(f"there is no alert `{name}`; there are: {', '.join(ALERTS)}")
    return name
