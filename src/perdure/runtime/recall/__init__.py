"""Memory in a run: every write is a step with an intent, every read one that is recorded."""

from .knowledge import RunKnowledge
from .session import Session
from .steps import Steps
from .working import WorkingMemory

__all__ = ["RunKnowledge", "Session", "Steps", "WorkingMemory"]
