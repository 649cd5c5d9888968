"""Watchers: agents that watch agents. They read, they report, they suspend, and can do nothing else."""

from .anomalies import Anomalies
from .violations import Violations
from .watcher import Finding, Watch, Watcher, WatchRights

__all__ = ["Anomalies", "Finding", "Violations", "Watch", "WatchRights", "Watcher"]
