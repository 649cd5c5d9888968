"""What a run may do and use, and what it costs. Below the runtime, which calls it at the boundary."""

from .amounts import DIMENSIONS, Amount
from .budgets import Budget, Exhausted, budget_of
from .ledger import Ledger, Line
from .listed import Listed
from .money import dollars, from_nanos, to_nanos
from .periods import Period, period_at
from .prices import Charge, Price, Prices, TokenCounts
from .purse import Purse
from .treasury import Standing, Treasury

__all__ = [
    "DIMENSIONS",
    "Amount",
    "Budget",
    "Charge",
    "Exhausted",
    "Ledger",
    "Line",
    "Listed",
    "Period",
    "Price",
    "Prices",
    "Purse",
    "Standing",
    "TokenCounts",
    "Treasury",
    "budget_of",
    "dollars",
    "from_nanos",
    "period_at",
    "to_nanos",
]
