"""Runs that Perdure writes for itself: no agent of that name has run, and no worker serves one.

What there is to be recorded of a tenant beside its runs (who looked at what, whom it was told, what somebody changed,
whose data was erased) stands in journals like all else, under agents of these names. Whoever asks for runs does not
mean those, unless they name one.
"""

from __future__ import annotations

__all__ = ["ALERTS_AGENT", "CHANGES_AGENT", "ERASURE_AGENT", "OWN_AGENTS", "VIEWS_AGENT"]

ALERTS_AGENT = "perdure-alerts"
"""Which alerts were raised, told, taken, and over."""

CHANGES_AGENT = "perdure.changes"
"""What people changed: policies, rings, reviews of tools, stops, revocations."""

ERASURE_AGENT = "perdure.erasure"
"""Whose data was erased, and in which runs."""

VIEWS_AGENT = "perdure.views"
"""Who looked at which payload."""

OWN_AGENTS = (ALERTS_AGENT, CHANGES_AGENT, ERASURE_AGENT, VIEWS_AGENT)
"""All of them. Names, and not what they begin with: somebody's agent `perdure-docs` is theirs."""
