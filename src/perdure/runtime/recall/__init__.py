"""Memory in a run: every write is a step with an intent, every read one that is recorded."""

from .session import Session
from .steps import Steps
from .working import WorkingMemory

__all__ = ["Session", "Steps", "WorkingMemory"]
