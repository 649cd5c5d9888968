"""What can be known of runs without reading their journals: figures, tallies, metrics. All of it is a projection."""

from .digest import projections_digest
from .figures import RunFigures
from .fold import READ_KINDS, RunFold
from .projector import Projector, Rebuilt

__all__ = ["READ_KINDS", "Projector", "Rebuilt", "RunFigures", "RunFold", "projections_digest"]
