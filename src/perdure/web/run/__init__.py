"""The room of one run."""

from ..rooms import Page

__all__ = ["RUN"]

RUN: tuple[Page, ...] = ()
"""Its pages."""
