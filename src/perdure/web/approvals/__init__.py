"""The room of questions that wait for a human: what is asked, why, and the answer, bound to exactly what was shown."""

from .pages import APPROVALS

__all__ = ["APPROVALS"]
