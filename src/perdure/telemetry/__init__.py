"""What can be known of runs without reading their journals: figures, tallies, metrics. All of it is a projection."""

from .figures import RunFigures

__all__ = ["RunFigures"]
