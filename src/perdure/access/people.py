"""The person in front of this machine, for whom its operating system vouches."""

from __future__ import annotations

import getpass
import os

from ..core.errors import ConfigError
from ..core.principal import OS_ISSUER, Principal

__all__ = ["os_user"]


def os_user(grants: frozenset[str]) -> Principal:
    """The user whose process this is, for whom the operating system vouches; `LOGNAME` may say anything.

    One for whom nobody vouches, where the system knows no name.
    """
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
        return Principal(subject=f"user:{name}", issuer=OS_ISSUER, grants=grants)
    except (ImportError, KeyError, ConfigError):  # Windows; a container that knows no name of the user
        return Principal(subject=f"user:{_said()}")


def _said() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
