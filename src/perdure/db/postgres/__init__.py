"""The store for fleets: one PostgreSQL database (14 or newer), any number of processes on any number of machines."""

from .store import PostgresStore

__all__ = ["PostgresStore"]
