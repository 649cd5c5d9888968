"""Trust rings: how much an agent does by itself, narrowed at once, widened by a signature over evidence."""

from ...core.rings import ANY_ACTION, RINGS, Ring
from .chain import Judged, TrustStanding
from .evidence import Evidence, gathered, lower_bound, runs_needed
from .keeping import Trust
from .records import TrustChange, TrustRecord

__all__ = [
    "ANY_ACTION",
    "RINGS",
    "Evidence",
    "Judged",
    "Ring",
    "Trust",
    "TrustChange",
    "TrustRecord",
    "TrustStanding",
    "gathered",
    "lower_bound",
    "runs_needed",
]
