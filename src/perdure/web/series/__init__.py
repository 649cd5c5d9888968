"""The room of series: goals that many runs work at, one after the other."""

from .pages import SERIES

__all__ = ["SERIES"]
