"""For tests of programs that run on Perdure: clocks under control, and journals made by hand.

The conformance suite for stores is in `perdure.testing.conformance`; it needs pytest, which this face does not.
"""

from .clocks import ManualClock, SkippingClock
from .journals import JournalBuilder

__all__ = ["JournalBuilder", "ManualClock", "SkippingClock"]
