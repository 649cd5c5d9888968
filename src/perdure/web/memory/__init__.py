"""What agents remember, and what people decide about it."""

from .pages import MEMORY

__all__ = ["MEMORY"]
