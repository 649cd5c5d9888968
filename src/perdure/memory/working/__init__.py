"""Working memory: what matters to an agent now, found again by words and by meaning."""

from .cells import WORKING_KINDS, CellWorking
from .items import WORKING, WorkingItems, write
from .packing import Omitted, Packed, pack
from .passages import cleaned, passages
from .port import Found, Part, Passage, Query, Space, SpaceHead, Working
from .ranking import MOST_RANKED, Candidate, fused, ranked
from .vectors import packed, unpacked
from .words import words_of

__all__ = [
    "WORKING",
    "MOST_RANKED",
    "WORKING_KINDS",
    "Candidate",
    "CellWorking",
    "Found",
    "Omitted",
    "Packed",
    "Part",
    "Passage",
    "Query",
    "Space",
    "SpaceHead",
    "Working",
    "WorkingItems",
    "cleaned",
    "fused",
    "pack",
    "packed",
    "passages",
    "ranked",
    "unpacked",
    "words_of",
    "write",
]
