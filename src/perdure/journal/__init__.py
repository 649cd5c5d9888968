"""The journal: entries and their hashes, the states of a run, and the port behind which stores keep them."""

from .entry import (
    FORMAT,
    Codec,
    Entry,
    Fingerprints,
    Kind,
    Seals,
    commitment,
    entry_hash,
    fingerprint,
    genesis,
    seal,
    verify_chain,
)
from .fleet import Demand, Serves, Session, SessionRecord, unserved
from .past import PastStore
from .schedule import ScheduleRecord, ScheduleStore
from .state import ENDINGS, MOVES, RunStatus, WaitReason
from .store import (
    Append,
    Approval,
    Change,
    Claim,
    Message,
    NewRun,
    Post,
    RunQuery,
    RunRecord,
    Store,
)

__all__ = [
    "ENDINGS",
    "FORMAT",
    "MOVES",
    "Append",
    "Approval",
    "Change",
    "Claim",
    "Codec",
    "Demand",
    "Entry",
    "Fingerprints",
    "Kind",
    "Message",
    "NewRun",
    "PastStore",
    "Post",
    "RunQuery",
    "RunRecord",
    "RunStatus",
    "ScheduleRecord",
    "ScheduleStore",
    "Serves",
    "Seals",
    "Session",
    "SessionRecord",
    "Store",
    "WaitReason",
    "commitment",
    "entry_hash",
    "fingerprint",
    "genesis",
    "seal",
    "unserved",
    "verify_chain",
]
