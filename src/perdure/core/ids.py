"""Names of runs, tenants and steps: what they may contain, and how new ones are made."""

from __future__ import annotations

import re
import uuid
from functools import lru_cache
from typing import NamedTuple

from .errors import ConfigError

__all__ = ["DEFAULT_TENANT", "RunRef", "check_id", "check_step_name", "check_subject", "new_id", "step_name"]

DEFAULT_TENANT = "default"
"""The tenant of embedded use."""

LONGEST_SUBJECT = 200
"""Bytes of the name of a data subject."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@-]{0,199}")
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}")


class RunRef(NamedTuple):
    """A run's full name. Nowhere is an id without its tenant."""

    tenant: str
    id: str

    def __str__(self) -> str:
        return self.id if self.tenant == DEFAULT_TENANT else f"{self.tenant}:{self.id}"


def check_id(value: str, *, what: str) -> str:
    """Return `value` if it can name a run, a tenant, an agent or a message; raise `ConfigError` if not."""
    if not _ID.fullmatch(value):
        raise ConfigError(
            f"`{value[:80]}` cannot be {what}: use 1 to 200 of A-Z a-z 0-9 . _ ~ @ - and begin with a letter or digit"
        )
    return value


def check_subject(value: str) -> str:
    """Return `value` if it can name a person whose data is handled; raise `ConfigError` if not."""
    if not value or len(value.encode(errors="replace")) > LONGEST_SUBJECT or not value.isprintable():
        raise ConfigError(
            f"`{value[:80]!r}` cannot name a data subject: use 1 to {LONGEST_SUBJECT} bytes of printable text, an id "
            "of yours (`customer:4711`) and not a name or an address"
        )
    return value


@lru_cache(maxsize=1024)  # each call of a framework's tool is the first of its name in a scope of its own
def check_step_name(value: str) -> str:
    """Return `value` if it can name a step (keys join names with `/` and `:`); raise `ConfigError` if not."""
    if not _STEP.fullmatch(value):
        raise ConfigError(f"`{value[:80]}` cannot name a step: use 1 to 100 of A-Z a-z 0-9 _ . - and space")
    return value


def step_name(name: str) -> str:
    """A name that somebody else gave, made fit to name a step."""
    return re.sub(r"[^A-Za-z0-9_. -]+", "_", name).lstrip("_. -")[:100] or "step"


def new_id() -> str:
    """A new random id: 32 hexadecimal digits, never guessable."""
    return uuid.uuid4().hex
