"""What a run may do and use, and what it costs. Below the runtime, which calls it at the boundary."""

from .amounts import DIMENSIONS, NOTHING, Amount, in_words, share_in_words
from .breaker import Breaker, BreakerState
from .breakers import Admitted, BreakerRecord, Breakers, Open
from .budgets import Budget, Exhausted, budget_of, warning
from .costs import Charged, charges, family, pages
from .ledger import Ledger, Line
from .limits import Limits, Take
from .listed import Listed
from .money import decimal_text, dollars, from_nanos, to_nanos
from .periods import Period, period_at
from .prices import Charge, Price, Prices, TokenCounts
from .purse import Purse
from .rate import Rate
from .revocations import EVERYTHING, Revocation, Revocations, Who
from .stops import wake_held
from .treasury import Standing, Treasury

__all__ = [
    "DIMENSIONS",
    "EVERYTHING",
    "NOTHING",
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
    "Revocation",
    "Revocations",
    "Take",
    "TokenCounts",
    "Treasury",
    "Who",
    "budget_of",
    "charges",
    "decimal_text",
    "dollars",
    "family",
    "from_nanos",
    "in_words",
    "pages",
    "period_at",
    "share_in_words",
    "to_nanos",
    "wake_held",
    "warning",
]
