"""The room of all runs: the list, its filters in the address, saved views."""

from .pages import RUNS

__all__ = ["RUNS"]
