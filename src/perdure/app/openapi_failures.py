"""Answers of an operation that are errors: they say nothing of what was asked, but of who asks, or when."""

from __future__ import annotations

import re
from typing import Any

from ..context import Definition
from ..context.openapi import ApiResult
from ..core.credentials import Credential, CredentialRejected

__all__ = ["RAISED", "failure"]

RAISED = frozenset({401, 402, 403, 407, 408, 421, 423, 425, 429})
"""Statuses below 500 that are errors, and may be tried again; others below 500 are answers."""

_LACKS = re.compile(r'error="?insufficient_scope')
_SCOPES = re.compile(r'scope="([^"]{1,2000})"')


def failure(
    source: str, definition: Definition, found: ApiResult, answer: Any, credential: Credential | None
) -> Exception:
    """The error that such an answer is."""
    import httpx2

    called = definition.annotations
    told = found.text or ("" if found.structured is None else str(found.structured))
    said = f"`{called['method']} {called['path']}` of `{source}` answered {found.status}" + (
        f": {told[:300]}" if told else ""
    )
    scopes = _scopes(answer) if found.status == 403 else ()
    if credential is not None and (found.status == 401 or scopes):
        rejected = CredentialRejected(
            f"{said}. It did not take the token of `{credential.subject}` with `{credential.provider}`. Connect the "
            f"account anew: `perdure connect {credential.provider}`"
        )
        rejected.version, rejected.scopes = credential.version, scopes
        return rejected
    return httpx2.HTTPStatusError(said, request=answer.request, response=answer)


def _scopes(answer: Any) -> tuple[str, ...]:
    """What the other side wants to be granted beside (RFC 6750, 3.1)."""
    header = str(answer.headers.get("www-authenticate", ""))
    asked = _SCOPES.search(header)
    if asked is None or not _LACKS.search(header):
        return ()
    # As many as a request may ask for, and none that could be anything else in a log or an address.
    return tuple(s for s in asked[1].split()[:20] if len(s) <= 200 and s.isprintable())
