"""The root of the error tree, which is drawn in `errors`: import it from there."""

from __future__ import annotations

__all__ = ["PerdureError"]


class PerdureError(Exception):
    """The base of all errors that Perdure raises on purpose."""
