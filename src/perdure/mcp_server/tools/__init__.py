"""What the server itself can do for a client: one file per noun."""

from .agents import AGENTS
from .approvals import APPROVALS
from .runs import RUNS
from .series import SERIES

__all__ = ["OWN"]

OWN = {one.name: one for one in (*RUNS, *APPROVALS, *AGENTS, *SERIES)}
"""By name."""
