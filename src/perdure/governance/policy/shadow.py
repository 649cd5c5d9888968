"""A candidate that is asked beside the policies in force, and decides nothing: where it differs is written down.

Whatever goes wrong in asking it is a difference too: a candidate that cannot be asked would deny. It costs one more
verdict a call, for at most `MOST` calls of a segment.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import ConfigError
from .book import PolicyBook
from .schema import ToolForm
from .verdict import Decision, PolicyCall, Verdict, judge

__all__ = ["MOST", "Shadow"]

MOST = 1000
"""Calls of one segment of a run about which a candidate is asked."""


class Shadow:
    """A candidate, for one segment of a run."""

    def __init__(self, book: PolicyBook) -> None:
        self._book = book
        self._left = MOST

    def passes(self, agent: str, tool: ToolForm) -> bool:
        """Whether it lets every call of a tool pass, whatever the arguments are: then it need not be asked."""
        if self._left <= 0:
            return True
        try:
            policies = self._book.for_call(agent, tool)
        except ConfigError:
            return False
        if not policies.bench(agent, tool.name).constant:
            return False
        anything = PolicyCall(agent=agent, tool=tool.name, arguments={}, tenant="")
        return judge(policies, anything).decision == Decision.ALLOW

    def beside(self, call: PolicyCall, tool: ToolForm, verdict: Verdict) -> dict[str, Any] | None:
        """What it says otherwise than the policies in force; None: it says the same, or has been asked enough."""
        if self._left <= 0:
            return None
        self._left -= 1
        try:
            found = judge(self._book.for_call(call.agent, tool), call)
        except Exception as error:  # it decides nothing, so nothing of it may stop a run
            why = f"it cannot be asked: {type(error).__name__}: {error}"[:500]
            found = Verdict(decision=Decision.DENY, policies=(), why=why, errors=(why,))
        if found.decision == verdict.decision and found.gates == verdict.gates and not found.errors:
            return None
        return {"version": self._book.digest, **found.to_json()}
