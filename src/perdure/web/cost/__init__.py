"""The room of costs: what was spent, by whatever it is asked by, over time; budgets and where they lead."""

from .pages import COST

__all__ = ["COST"]
