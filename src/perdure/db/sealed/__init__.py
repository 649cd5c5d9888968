"""Payloads sealed at rest, under a key for each data subject: a decorator of the Store port (docs/data-subjects.md)."""

from .keys import SubjectKeys
from .store import SealedStore, sealed

__all__ = ["SealedStore", "SubjectKeys", "sealed"]
