"""What a run may do and use, and what it costs. Below the runtime, which calls it at the boundary."""

from .amounts import DIMENSIONS, Amount
from .breaker import Breaker, BreakerState
from .breakers import Admitted, BreakerRecord, Breakers, Open
from .budgets import Budget, Exhausted, budget_of
from .costs import Charged, charges, family, pages
from .ledger import Ledger, Line
from .limits import Limits, Take
from .listed import Listed
from .money import dollars, from_nanos, to_nanos
from .periods import Period, period_at
from .prices import Charge, Price, Prices, TokenCounts
from .purse import Purse
from .rate import Rate
from .treasury import Standing, Treasury

__all__ = [
    "DIMENSIONS",
    "Admitted",
    "Amount",
    "Breaker",
    "BreakerRecord",
    "BreakerState",
    "Breakers",
    "Budget",
    "Charge",
    "Charged",
    "Exhausted",
    "Ledger",
    "Line",
    "Limits",
    "Listed",
    "Open",
    "Period",
    "Price",
    "Prices",
    "Purse",
    "Standing",
    "Rate",
    "Take",
    "TokenCounts",
    "Treasury",
    "budget_of",
    "charges",
    "dollars",
    "family",
    "from_nanos",
    "pages",
    "period_at",
    "to_nanos",
]
