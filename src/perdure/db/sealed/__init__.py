"""Payloads sealed at rest, under a key for each data subject: a decorator of the Store port (docs/data-subjects.md)."""

from .keys import SubjectKeys
from .knowledge import SealedLedger
from .sessions import LONGEST_SEALED, SealedSessions
from .store import SealedStore, sealed

__all__ = ["LONGEST_SEALED", "SealedLedger", "SealedSessions", "SealedStore", "SubjectKeys", "sealed"]
