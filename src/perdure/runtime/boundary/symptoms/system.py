"""The operating system, the standard library, libraries that retry, and Perdure's own errors."""

from __future__ import annotations

import errno
from typing import Any

from ....core.failures import Diagnosis, FailureClass
from .finding import Finding, Inside, Seen, attribute, in_doubt, leaf, module_of, not_done

__all__ = ["read_own", "read_retrier", "read_system"]

_PERMANENT, _TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT

_REFUSED_CONNECTION = not_done(_TRANSIENT, "the connection was refused, so nothing was sent")
_UNTRUSTED = not_done(_PERMANENT, "the server's certificate is not trusted, so nothing was sent")
_LOST = in_doubt(_TRANSIENT, "the connection broke after something may have been sent")
_SLOW = in_doubt(_TRANSIENT, "it was not done in time, and may have been begun")

_NAMES: dict[str, Diagnosis] = {
    "builtins:ConnectionRefusedError": _REFUSED_CONNECTION,
    "socket:gaierror": not_done(_TRANSIENT, "the address was not found, so nothing was sent"),
    "socket:herror": not_done(_TRANSIENT, "the address was not found, so nothing was sent"),
    "ssl:SSLCertVerificationError": _UNTRUSTED,
    "ssl:SSLError": in_doubt(_TRANSIENT, "the encrypted connection broke"),
    "builtins:ConnectionError": _LOST,  # reset, aborted, a broken pipe
    "builtins:TimeoutError": _SLOW,
    "asyncio.exceptions:TimeoutError": _SLOW,
    "subprocess:TimeoutExpired": _SLOW,
    "asyncio.exceptions:IncompleteReadError": _LOST,
    # A ValueError, but of what came from outside: half an answer, or a proxy's page in its place.
    "json.decoder:JSONDecodeError": in_doubt(_TRANSIENT, "what came is no JSON: it was cut off, or damaged"),
    "concurrent.futures._base:BrokenExecutor": in_doubt(_TRANSIENT, "the process that did the work died"),
    "asyncio.exceptions:CancelledError": in_doubt(_PERMANENT, "it was cancelled while it was under way"),
}

_MAY_PASS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBUSY}
    | {errno.EINTR, errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
)
"""What may pass by itself. A full disk is among them: somebody makes room, and nothing else mends it."""


def read_system(seen: Seen) -> Finding | None:
    """Errors of the operating system and the standard library."""
    known = next((_NAMES[name] for name in seen.names if name in _NAMES), None)
    if known is not None:
        return known
    if isinstance(seen.error, OSError):
        if seen.error.errno in _MAY_PASS:
            return in_doubt(_TRANSIENT, f"the system says `{seen.error.strerror}`, which may pass")
        return in_doubt(_PERMANENT, f"the system says `{seen.error.strerror or seen.error}`")
    return None


def read_retrier(seen: Seen) -> Finding | None:
    """A library's word that it tried in vain: what came last decides, and proves nothing of the rest."""
    if module_of(seen.name) != "tenacity" or leaf(seen.name) != "RetryError":
        return None
    last: Any = attribute(seen.error, "last_attempt")
    otherwise = in_doubt(_TRANSIENT, "it was tried several times in vain")
    try:
        inner: Any = last.exception()
    except Exception:
        return otherwise
    once = attribute(last, "attempt_number") == 1
    return Inside(inner if isinstance(inner, BaseException) else None, otherwise, proof=once)


_OWN = "perdure.core.errors:"

_OWN_NAMES: dict[str, Diagnosis] = {
    "InvalidOutput": in_doubt(
        FailureClass.INVALID_OUTPUT, "the model's answer does not fit, also after a repair"
    ),
    "ContextExceeded": in_doubt(
        FailureClass.CONTEXT_EXCEEDED, "the conversation fits no model, also after compaction"
    ),
    "Stuck": in_doubt(FailureClass.STUCK, "the agent makes no progress"),
    "Refused": not_done(FailureClass.REFUSED, "the boundary did not let it pass, so nothing was sent"),
    "TurnLimit": in_doubt(FailureClass.STUCK, "the model asked for tools up to the last turn"),
    # To wait once more is another step, and its author's to decide.
    "WaitTimeout": in_doubt(_PERMANENT, "what was waited for did not come in time"),
    "StoreUnavailable": in_doubt(_TRANSIENT, "the store could not be reached"),
    "Superseded": in_doubt(_TRANSIENT, "another worker owns the run now"),
    "Unserialisable": in_doubt(_PERMANENT, "a value cannot be written to the journal"),
    "ProgramError": in_doubt(_PERMANENT, "the program must be changed"),
    "ConfigError": in_doubt(_PERMANENT, "a setting or an argument cannot be used"),
    "PerdureError": in_doubt(_PERMANENT, "it stays so until somebody changes something"),
    "RunCancelled": in_doubt(_PERMANENT, "the run was cancelled"),
}


def read_own(seen: Seen) -> Finding | None:
    """Perdure's own errors."""
    names = [leaf(name) for name in seen.names if name.startswith(_OWN)]
    if not names:
        return None
    if "NotDone" in names:
        # What it was raised from says which class; that nothing was done, it says itself.
        return Inside(seen.error.__cause__, not_done(_TRANSIENT, "the tool says that it did not do it"))
    if "LimitFull" in names or "CircuitOpen" in names:
        what = "the queue of a rate limit is too long" if "LimitFull" in names else "its breaker is open"
        wait = attribute(seen.error, "retry_after")
        return not_done(FailureClass.OVERLOADED, f"{what}, so nothing was sent", wait)
    if "ProviderUnavailable" in names:
        wait = attribute(seen.error, "retry_after")
        return not_done(_TRANSIENT, "no credential could be had, so nothing was sent", wait)
    return next((_OWN_NAMES[name] for name in names if name in _OWN_NAMES), None)
