"""Databases of others, opened so that nothing can be changed in them: for the queries of agents."""

from .port import Limits, Reader, open_reader

__all__ = ["Limits", "Reader", "open_reader"]
