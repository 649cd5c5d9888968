"""What becomes of a step that gives no result; import it from `errors`, where the whole tree is."""

from __future__ import annotations

from ._base_error import PerdureError

__all__ = [
    "CredentialRejected",
    "LimitFull",
    "NotDone",
    "StepError",
    "StepFailed",
    "VersionConflict",
    "WaitTimeout",
]


class StepError(PerdureError):
    """A step did not give a result."""


class StepFailed(StepError):
    """A recorded error whose own type cannot be raised again. `type_name` is that type's name."""

    def __init__(self, message: str, *, type_name: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name


class NotDone(StepError):
    """Raised by a tool to prove that its effect did not happen, so that it is safe to try again."""


class CredentialRejected(NotDone):
    """Raised by a tool whose credential the other side did not take (401), or that allows too little (403).

    The call is tried again, whatever its retries say: once with a renewed credential, and once for each set of `scopes`
    that the other side asks for, when the user has granted them.
    """

    version: int | str | None = None
    """of the credential that was handed in"""
    scopes: tuple[str, ...] = ()
    """what the other side asks for beside what was granted; empty: the credential itself is no good"""


class VersionConflict(StepError):
    """What was to be changed has another version by now. `version` is that; 0: nothing is there."""

    def __init__(self, message: str, *, version: int = 0) -> None:
        super().__init__(message)
        self.version = version


class WaitTimeout(StepError, TimeoutError):
    """A wait ended before what it waited for came."""


class LimitFull(StepError):
    """The queue of a rate limit is longer than a call waits: nothing was sent, and no place was taken.

    `until` is when the place would have come (microseconds, the store's clock), `retry_after` how many seconds from
    now there may be room.
    """

    def __init__(self, message: str, *, until: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.until = until
        self.retry_after = retry_after


for _kind in (StepError, StepFailed, NotDone, CredentialRejected, VersionConflict, WaitTimeout, LimitFull):
    _kind.__module__ = "perdure.core.errors"  # where they are imported from, and the name that journals have
