"""Who asks: callers, their roles, and how they prove who they are (keys, tokens, sessions, passkeys).

Needs the extra `serve`. Nothing of it is imported by workers.
"""

from .callers import Caller, Gate, Role

__all__ = ["Caller", "Gate", "Role"]
