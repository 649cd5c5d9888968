"""What agents know beyond one run. The layer *session* is there; *working* and *knowledge* are not yet."""

from .port import Kept, Message, Origin, Place, SessionHead, Sessions, Summary, Written
from .sessions import KINDS, CellSessions

__all__ = [
    "KINDS",
    "CellSessions",
    "Kept",
    "Message",
    "Origin",
    "Place",
    "SessionHead",
    "Sessions",
    "Summary",
    "Written",
]
