"""Ranges of names."""

from __future__ import annotations

from ..journal import CellKey

__all__ = ["after_prefix", "first_name"]

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


def first_name(tenant: str, kind: str, prefix: str, after: CellKey | None) -> tuple[str, str] | None:
    """Where cells whose names begin with `prefix` are read from, behind the key `after`: `>=` or `>`, and a name.

    One bound, and not two that hold together: a database would seek the first of them, and read all up to the second.
    None: nothing of that kind lies behind `after`.
    """
    if after is None or (after.tenant, after.kind) < (tenant, kind):
        return ">=", prefix
    if (after.tenant, after.kind) > (tenant, kind):
        return None
    return (">", after.name) if after.name >= prefix else (">=", prefix)
