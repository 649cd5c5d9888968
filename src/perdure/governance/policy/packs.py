"""Policies that come with Perdure, to begin with: each a file that a manager can read."""

from __future__ import annotations

from importlib.resources import files

from ...core.errors import ConfigError
from .policies import PolicyFile

__all__ = ["STARTER", "pack", "packs"]

STARTER = "starter"
"""What holds where an app has tools with labels, and no policies of its own."""
_FOLDER = "starter"


def packs() -> list[str]:
    """The names of all that there are."""
    found = files(__package__ or "").joinpath(_FOLDER).iterdir()
    return sorted(file.name.removesuffix(".cedar") for file in found if file.name.endswith(".cedar"))


def pack(name: str) -> PolicyFile:
    """One of them. Raises `ConfigError`."""
    if name not in packs():
        raise ConfigError(
            f"there are no policies called `{name}`; there are {', '.join(f'`{n}`' for n in packs())}"
        )
    text = files(__package__ or "").joinpath(_FOLDER, f"{name}.cedar").read_text(encoding="utf-8")
    return PolicyFile("organisation", f"{name}.cedar", text)
