"""For whom a command starts a run: the user of this machine, or whoever a token speaks for.

A token comes from a file or the environment, and never from the command line: every process of a machine can read that.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ...access.people import os_user
from ...core.errors import ConfigError
from ...core.principal import Principal
from .steer import operator

if TYPE_CHECKING:
    from ...app import App

__all__ = ["Whose", "for_whom", "os_user"]

TOKEN = "PERDURE_TOKEN"
MOST_BYTES = 65_536


class Whose(TypedDict, total=False):
    """What `App.start` is told of it."""

    by: str
    on_behalf_of: str | Principal


def for_whom(app: App, *, by: str | None, token_file: str | None) -> Whose:
    """A token's user; whom `--by` names, which nobody vouches for; else the user of this machine."""
    token = _token(token_file)
    if token is not None and by is not None:
        raise ConfigError(
            "`--by` names whom the run is for, and so does the token: leave one out"
            + ("" if token_file else f" ({TOKEN} is set)")
        )
    if token is not None:
        return {"on_behalf_of": token}
    if by is not None:
        return {"by": f"user:{operator(by).removeprefix('user:')}"}
    return {"on_behalf_of": os_user(app.identity_settings.os_grants)}


def _token(file: str | None) -> str | None:
    told = os.environ.pop(TOKEN, None)  # the tools that run here, and what they start, have no use for it
    if file is None:
        return told or None
    try:
        if file == "-":
            text = sys.stdin.read(MOST_BYTES)
        else:
            with Path(file).open(encoding="ascii") as opened:
                text = opened.read(MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"`--token-file {file}` cannot be read: {error}") from error
    if not text.strip():
        raise ConfigError(f"`--token-file {file}` holds no token")
    return text.strip()
