"""What agents know beyond one run. The layer *session* is there; *working* and *knowledge* are not yet."""

from .memories import Memories
from .port import Kept, Message, Origin, Place, SessionHead, Sessions, Summary, Written
from .sessions import KINDS, CellSessions

__all__ = [
    "KINDS",
    "CellSessions",
    "Kept",
    "Memories",
    "Message",
    "Origin",
    "Place",
    "SessionHead",
    "Sessions",
    "Summary",
    "Written",
]
