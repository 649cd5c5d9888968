"""Digests that others compute too: of a call's arguments, and of the bytes that are sent."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

__all__ = ["arguments_digest", "base64url", "content_digest", "request_digest"]


def base64url(data: bytes) -> str:
    """Without padding, as JOSE has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def arguments_digest(arguments: Any) -> str:
    """Of arguments as JSON values: sorted keys, no spaces, UTF-8; whoever parses the JSON gets the same digest.

    Raises `ValueError` for what JSON cannot say, NaN included.
    """
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return content_digest(text.encode())


def content_digest(content: bytes) -> str:
    """Of bytes as they are sent: no parser can read anything else into them."""
    return base64url(hashlib.sha256(content).digest())


def request_digest(query: str, body: bytes) -> str:
    """Of what a request says beside its method and path: its body, after its query where it has one."""
    return content_digest(f"{query}\n".encode() + body if query else body)
