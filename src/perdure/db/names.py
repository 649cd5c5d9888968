"""Ranges of names."""

from __future__ import annotations

__all__ = ["after_prefix"]

_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
"""no text that a database holds has one"""


def after_prefix(prefix: str) -> str | None:
    """The first text, by code points, behind all that begin with `prefix`; None: there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        prefix = prefix[:-1]
        if code <= _LAST:
            return prefix + chr(_SURROGATES.stop if code in _SURROGATES else code)
    return None
