"""What a server says to whoever asks; import it from `errors`, where the whole tree is."""

from __future__ import annotations

from ._base_error import PerdureError

__all__ = ["AccessRefused", "ApiError", "Forbidden", "TooManyRequests", "Unauthenticated"]


class AccessRefused(PerdureError):
    """A server does not do what it is asked. `status` is what HTTP calls that."""

    status = 400


class Unauthenticated(AccessRefused):
    """Nobody has proved who asks. `challenge` is for the header `WWW-Authenticate`: what would be taken."""

    status = 401

    def __init__(self, message: str, *, challenge: str = "Bearer") -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(AccessRefused):
    """Who asks is known, and may not do that. The message says what it takes."""

    status = 403


class TooManyRequests(AccessRefused):
    """Who asks does so too often: `retry_after` is how many seconds from now there is room again."""

    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ApiError(PerdureError):
    """What a client was answered that no other error of the tree says; `status` is that of HTTP, 0: no answer came."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
