"""FalkorDB, a graph database on Redis: the layer *knowledge* of memory."""

from .ledger import FalkorLedger

__all__ = ["FalkorLedger"]
