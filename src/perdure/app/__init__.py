"""The application: what a program registers its agents with, and all that is asked of them from outside.

`App` puts the parts together and is the only place that picks backends. What it answers is one file for each matter:
approvals, budgets, deploys, escalations, histories, outcomes, schedules. They stand on `base`, none of them on `app`.
"""

from .app import App
from .handle import Handle
from .stores import open_store

__all__ = ["App", "Handle", "open_store"]
