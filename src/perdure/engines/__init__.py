"""Engines: whatever causes a due run to be driven. Here, the built-in worker."""

from .worker import Worker, WorkerOptions

__all__ = ["Worker", "WorkerOptions"]
