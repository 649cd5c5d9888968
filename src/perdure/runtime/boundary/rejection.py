"""A credential that the other side did not take: what is tried then, whatever the call's own retries say.

CredentialRejected ─┬─ it is no good ─► ATTEMPT ─► renewed, once ─► the call again
                    └─ it allows too little ─► ATTEMPT ─► WAITING for the user to grant more ─► the call again

What is asked for a second time is not asked for a third: then the call has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.credentials import CredentialRejected
from ...journal import Entry, Kind

if TYPE_CHECKING:
    from .call import Tries, Way
    from .terms import Access

__all__ = ["again_with", "rejections", "scopes_for", "version_for"]


def again_with(way: Way, tries: Tries, error: BaseException) -> dict[str, Any] | None:
    """What the ATTEMPT says where the call is tried with another credential; None: that is of no use."""
    access = way.terms.credential
    if not isinstance(error, CredentialRejected) or access is None:
        return None
    before = [told for told in tries.rejections if told["provider"] == access.provider]
    more = [scope for scope in error.scopes if scope not in access.scopes]
    known = {scope for told in before for scope in told["scopes"]}
    if more and not known.issuperset(more):
        return {"provider": access.provider, "version": error.version, "scopes": more}
    if error.scopes or any(not told["scopes"] for told in before):
        return None
    return {"provider": access.provider, "version": error.version, "scopes": []}


def rejections(trail: Sequence[Entry], access: Access) -> list[dict[str, Any]]:
    """What the other side has said of credentials of that provider, in this step."""
    found: list[dict[str, Any]] = []
    for entry in trail:
        if entry.kind == Kind.ATTEMPT:
            told: dict[str, Any] | None = pydantic_core.from_json(entry.payload).get("rejected")
            if told is not None and told["provider"] == access.provider:
                found.append(told)
    return found


def scopes_for(access: Access, told: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What the credential must allow by now."""
    return tuple(dict.fromkeys([*access.scopes, *(scope for one in told for scope in one["scopes"])]))


def version_for(told: Sequence[dict[str, Any]]) -> int | str | None:
    """The version that was no good, so that a newer one must be found."""
    return next((one["version"] for one in reversed(told) if not one["scopes"]), None)
