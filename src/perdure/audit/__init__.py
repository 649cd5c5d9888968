"""What an auditor gets: who did it, for whom, who let it, and whether it worked, told from the journal."""

from .deeds import Deeds, Story, story_of
from .fact import Deed, Enquiry, Fact
from .facts import Facts, facts_of

__all__ = ["Deed", "Deeds", "Enquiry", "Fact", "Facts", "Story", "facts_of", "story_of"]
