"""The room of questions that wait for a human."""

from ..rooms import Room

__all__ = ["APPROVALS"]

APPROVALS = Room(title="Approvals", path="/approvals", key="a")
"""Its pages."""
