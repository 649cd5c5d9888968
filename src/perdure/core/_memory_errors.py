"""What goes wrong with what agents remember; import it from `errors`, where the whole tree is."""

from __future__ import annotations

from ._base_error import PerdureError

__all__ = ["UnknownItem"]


class UnknownItem(PerdureError):
    """Nothing of that name is remembered, or waits for a review, in this tenant."""
