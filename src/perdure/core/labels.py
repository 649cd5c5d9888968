"""Labels of workers, which runs may need, and priorities: what they may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .errors import ConfigError

__all__ = ["check_labels", "check_priority"]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@:/=+-]{0,99}")

MOST_LABELS = 32

HIGHEST_PRIORITY = 1000


def check_labels(labels: Iterable[str], *, what: str) -> tuple[str, ...]:
    """The labels, each once, in order; raise `ConfigError` for what cannot be `what` (a label, a need)."""
    if isinstance(labels, str):
        raise ConfigError(f"`{labels[:80]}` is one text, and not a list of them: write `[{labels[:80]!r}]`")
    found = sorted(set(labels))
    for label in found:
        if not _LABEL.fullmatch(label):
            raise ConfigError(
                f"`{label[:80]}` cannot be {what}: use 1 to 100 of A-Z a-z 0-9 . _ ~ @ : / = + - without spaces, and "
                "begin with a letter or digit, as in `gpu` and `region=eu`"
            )
    if len(found) > MOST_LABELS:
        raise ConfigError(f"{len(found)} labels are more than the {MOST_LABELS} that may stand together")
    return tuple(found)


def check_priority(priority: Any) -> int:
    """Return `priority` if it is one; raise `ConfigError` if not."""
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > HIGHEST_PRIORITY:
        raise ConfigError(
            f"`{str(priority)[:80]}` is not a priority: give a whole number from {-HIGHEST_PRIORITY} to "
            f"{HIGHEST_PRIORITY}, 0 for none; higher goes first"
        )
    return priority
