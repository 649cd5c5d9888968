"""The client for code that awaits. `tools/make_sync_client.py` makes `client.synchronous` of these files."""

from .client import AsyncClient
from .link import KEY_VARIABLE

__all__ = ["KEY_VARIABLE", "AsyncClient"]
