"""The room of one run: what it did in time, why, at what cost; and what an operator can do about it."""

from .pages import RUN

__all__ = ["RUN"]
