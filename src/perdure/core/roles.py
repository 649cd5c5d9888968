"""Roles: what somebody who asks a server may do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from .errors import ConfigError

__all__ = ["Role", "roles_of"]


class Role(StrEnum):
    """What somebody is there for. Every role lets one look at runs; more is said with each."""

    VIEWER = "viewer"
    """looks at runs, agents, costs and health, without the payloads of calls"""
    OPERATOR = "operator"
    """starts runs, signals, cancels, pauses, resumes, settles, retries and forks them; sees payloads"""
    APPROVER = "approver"
    """answers what is asked of them; sees payloads"""
    POLICY_EDITOR = "policy_editor"
    """changes budgets, limits and rings, revokes agents; reads policies and tries them"""
    AUDITOR = "auditor"
    """sees payloads, who looked at what, and exports; changes nothing"""
    ADMIN = "admin"
    """all of it, and who may do what: keys, sessions, people"""

    @classmethod
    def _missing_(cls, value: object) -> Role | None:
        if isinstance(value, str):  # `policy editor` and `policy-editor` are what people write
            plain = value.strip().lower().replace("-", "_").replace(" ", "_")
            return next((role for role in cls if role.value == plain), None)
        return None


def roles_of(words: Iterable[str], *, where: str) -> frozenset[Role]:
    """Roles as people write them. Raises `ConfigError` that names `where`."""
    found: set[Role] = set()
    for word in words:
        try:
            found.add(Role(word))
        except ValueError:
            raise ConfigError(f"{where}: `{word[:40]}` is no role; roles are {', '.join(Role)}") from None
    return frozenset(found)
