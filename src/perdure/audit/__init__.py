"""What an auditor gets: who did it, for whom, who let it, and whether it worked, told from the journal."""

from .answers import VerifiedAnswer, verify_answer, verify_answers
from .deeds import Deeds, Story, story_of
from .fact import Deed, Enquiry, Fact
from .facts import Facts, facts_of
from .search import Done, Selection, deeds_of, journal_of, runs_of, same_person, story_in

__all__ = [
    "Deed",
    "Deeds",
    "Done",
    "Enquiry",
    "Fact",
    "Facts",
    "Selection",
    "Story",
    "VerifiedAnswer",
    "deeds_of",
    "facts_of",
    "journal_of",
    "runs_of",
    "same_person",
    "story_in",
    "story_of",
    "verify_answer",
    "verify_answers",
]
