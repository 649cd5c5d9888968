"""The run: record-or-replay, effects, waits, branches, and the ports that they need."""

from .agent import Agent, AgentName, OnFailure
from .approvers import Approvers
from .boundary import Rules
from .call import How
from .diagnosis import Classifier, Diagnosis, FailureClass, Rule
from .endings import end_claimed
from .failure import Failure
from .fork import Taken, forked_run, taken_until, taken_without_failure
from .lease import Lease
from .parallel import Branch, Winner
from .retry import Retry
from .run import Run
from .segment import Segment, SegmentEnd, Surroundings
from .start import new_run
from .stuck import StuckRules
from .terms import Cache, Cached, Instead, Terms, terms_of
from .tool import CANNOT_TELL, DID_NOT_HAPPEN, Effect, EffectKey, Happened, Tool, Verdict, as_tool
from .waits import Answer

__all__ = [
    "CANNOT_TELL",
    "DID_NOT_HAPPEN",
    "Agent",
    "AgentName",
    "Answer",
    "Approvers",
    "Branch",
    "Cache",
    "Cached",
    "Classifier",
    "Diagnosis",
    "Effect",
    "EffectKey",
    "Failure",
    "FailureClass",
    "Happened",
    "How",
    "Instead",
    "Lease",
    "OnFailure",
    "Retry",
    "Rule",
    "Rules",
    "Run",
    "Segment",
    "SegmentEnd",
    "StuckRules",
    "Surroundings",
    "Taken",
    "Terms",
    "Tool",
    "Verdict",
    "Winner",
    "as_tool",
    "end_claimed",
    "forked_run",
    "new_run",
    "taken_until",
    "taken_without_failure",
    "terms_of",
]
