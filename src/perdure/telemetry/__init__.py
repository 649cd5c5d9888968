"""What can be known of runs without reading their journals: figures, tallies, metrics. All of it is a projection."""

from .digest import projections_digest
from .figures import RunFigures
from .fold import READ_KINDS, RunFold
from .parts import DAY_MICROS, HOUR_MICROS
from .projector import Projector, Rebuilt
from .tallies import NO_TALLY, Tally, tallied

__all__ = [
    "DAY_MICROS",
    "HOUR_MICROS",
    "NO_TALLY",
    "READ_KINDS",
    "Projector",
    "Rebuilt",
    "RunFigures",
    "RunFold",
    "Tally",
    "projections_digest",
    "tallied",
]
