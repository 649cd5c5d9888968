"""The run: record-or-replay, effects, waits, branches, and the ports that they need."""

from .agent import Agent, AgentName, OnFailure
from .approval.approvers import Approvers
from .boundary.call import How
from .boundary.diagnosis import Classifier, Diagnosis, FailureClass, Rule
from .boundary.retry import Retry
from .boundary.stages import Rules
from .boundary.terms import Cache, Cached, Instead, Terms, terms_of
from .boundary.tool import CANNOT_TELL, DID_NOT_HAPPEN, Effect, EffectKey, Happened, Tool, Verdict, as_tool
from .conversation.stuck import StuckRules
from .ending.endings import end_claimed
from .own_runs import Done, write_run
from .replay.failure import Failure
from .replay.fork import Taken, forked_run, taken_until, taken_without_failure
from .replay.lease import Lease
from .replay.parallel import Branch, Winner
from .run import Run
from .segment import Segment, SegmentEnd, Surroundings
from .start import new_run
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
    "Done",
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
    "write_run",
]
