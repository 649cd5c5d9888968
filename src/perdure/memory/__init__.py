"""What agents know beyond one run: the layers *session*, *working* and *knowledge*, and those who govern them."""

from .holds import Hold, Holds
from .knowledge import Knowledge, Ledger
from .memories import Memories, ledger_of
from .port import Kept, Message, Origin, Place, SessionHead, Sessions, Summary, Written
from .proposals import HeldWrite, Proposal, Proposals
from .recalled import LeftOut, Recalled, RecalledItem, answer_in
from .remembered import DoneWrite, Item, ItemPage, ItemQuery, ProposedWrite, Remembered, Whose, item_id
from .sessions import KINDS, CellSessions

__all__ = [
    "KINDS",
    "CellSessions",
    "DoneWrite",
    "HeldWrite",
    "Hold",
    "Holds",
    "Item",
    "ItemPage",
    "ItemQuery",
    "Kept",
    "Knowledge",
    "LeftOut",
    "Ledger",
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
    "answer_in",
    "item_id",
    "ledger_of",
]
