"""The room of the fleet's health."""

from .pages import HEALTH

__all__ = ["HEALTH"]
