"""What a token binds a call to; whoever only reads journals has it from `core`, without the extra `identity`."""

from ..core.digests import arguments_digest, base64url, content_digest, request_digest

__all__ = ["arguments_digest", "base64url", "content_digest", "request_digest"]
