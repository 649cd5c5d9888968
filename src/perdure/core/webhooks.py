"""Signed webhooks, as *Standard Webhooks* (https://www.standardwebhooks.com, 1.0.0) has them.

webhook-id: msg_...                  the same over all attempts: a receiver drops what it has seen
webhook-timestamp: 1767225600        seconds since the Unix epoch
webhook-signature: v1,BASE64         HMAC-SHA256 of `id.timestamp.body`; several, with blanks between
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pydantic_core

from .errors import BadSignature

__all__ = ["signature", "verify_webhook"]

_PREFIX = "whsec_"


def signature(secret: str, *, id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    within: timedelta = timedelta(minutes=5),
    now: float | None = None,
) -> Any:
    """What a webhook says, as JSON, once it is known that it was signed with `secret` and is not old.

    For receivers. `body` is the bytes as they came. `now` is the time in seconds since the epoch. A notice may come
    twice, under the same `webhook-id`. Raises `BadSignature`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id, timestamp = given["webhook-id"], int(given["webhook-timestamp"])
        signatures = given["webhook-signature"].split(" ")
    except (KeyError, ValueError):
        raise BadSignature(
            "the request has no `webhook-id`, `webhook-timestamp` and `webhook-signature`"
        ) from None
    if abs((time.time() if now is None else now) - timestamp) > within.total_seconds():
        raise BadSignature(
            f"the webhook `{id}` is of another time (`{timestamp}`): it may have been sent again by a stranger"
        )
    expected = signature(secret, id=id, timestamp=timestamp, body=body).encode()
    if not any(hmac.compare_digest(expected, s.encode()) for s in signatures):
        raise BadSignature(f"the webhook `{id}` was not signed with this secret")
    return pydantic_core.from_json(body)


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise BadSignature(
            f"a secret that begins with `{_PREFIX}` is base64 after that, and this is not"
        ) from None
