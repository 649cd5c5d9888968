"""What agents know beyond one run. The layers *session* and *working* are there; *knowledge* is not yet."""

from .holds import Hold, Holds
from .memories import Memories
from .port import Kept, Message, Origin, Place, SessionHead, Sessions, Summary, Written
from .proposals import HeldWrite, Proposal, Proposals
from .recalled import LeftOut, Recalled, RecalledItem
from .remembered import Item, ItemPage, ItemQuery, ProposedWrite, Remembered, Whose, item_id
from .sessions import KINDS, CellSessions

__all__ = [
    "KINDS",
    "CellSessions",
    "HeldWrite",
    "Hold",
    "Holds",
    "Item",
    "ItemPage",
    "ItemQuery",
    "Kept",
    "LeftOut",
    "Memories",
    "Message",
    "Origin",
    "Place",
    "Proposal",
    "Proposals",
    "ProposedWrite",
    "Recalled",
    "RecalledItem",
    "Remembered",
    "SessionHead",
    "Sessions",
    "Summary",
    "Whose",
    "Written",
    "item_id",
]
