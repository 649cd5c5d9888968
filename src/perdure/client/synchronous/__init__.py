# Made by tools/make_sync_client.py of ../asynchronous: change that.
"""The client for code that waits for each answer."""

from .client import Client
from .link import KEY_VARIABLE

__all__ = ["KEY_VARIABLE", "Client"]
