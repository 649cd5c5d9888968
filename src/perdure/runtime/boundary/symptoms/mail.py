"""SMTP: smtplib, and aiosmtplib, whose types have the same names.

A reply is a verdict (RFC 5321, 4.2.1): 4xx may go well later, 5xx will not, and after either the server has not taken
the message. Only a connection that breaks before the reply to DATA leaves a doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ....core.failures import Diagnosis, FailureClass
from .finding import Finding, Seen, attribute, in_doubt, leaf, module_of, not_done

__all__ = ["read_mail"]

_PERMANENT, _TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT

_NAMES = {
    "SMTPNotSupportedError": not_done(_PERMANENT, "the server does not offer what the message needs"),
    "SMTPNotSupported": not_done(_PERMANENT, "the server does not offer what the message needs"),
    "SMTPConnectTimeoutError": not_done(_TRANSIENT, "no connection was made, so nothing was sent"),
    "SMTPConnectError": not_done(_TRANSIENT, "no connection was made, so nothing was sent"),
    "SMTPConnectResponseError": not_done(_TRANSIENT, "no connection was made, so nothing was sent"),
    "SMTPReadTimeoutError": in_doubt(_TRANSIENT, "no reply came in time; the message may have been taken"),
    "SMTPTimeoutError": in_doubt(_TRANSIENT, "no reply came in time; the message may have been taken"),
    "SMTPServerDisconnected": in_doubt(_TRANSIENT, "the connection broke; the message may have been taken"),
}

NEVER_CONNECTED = "please run connect() first"


def read_mail(seen: Seen) -> Finding | None:
    """Errors of SMTP; None where it is none."""
    if not any(module_of(name) in ("smtplib", "aiosmtplib") for name in seen.names):
        return None
    error = seen.error
    refused = attribute(error, "recipients")
    codes = sorted(_codes(refused)) if refused is not None else []
    if codes:
        worst = codes[-1]
        return _reply(worst, f"no recipient was accepted (worst reply {worst})")
    code = attribute(error, "smtp_code", "code")
    if type(code) is int and 400 <= code < 600:
        return _reply(code, f"SMTP {code}: the server did not take the message")
    if NEVER_CONNECTED in str(error):
        return not_done(_TRANSIENT, "there was no connection, so nothing was sent")
    known = next((_NAMES[leaf(name)] for name in seen.names if leaf(name) in _NAMES), None)
    return known or in_doubt(_PERMANENT, "the mail was not sent as it should be")


def _reply(code: int, why: str) -> Diagnosis:
    return not_done(_TRANSIENT if code < 500 else _PERMANENT, why)


def _codes(refused: Any) -> Iterable[int]:
    """Of smtplib's `{address: (code, text)}`, or aiosmtplib's list of errors with a code each."""
    entries: Any = refused
    if isinstance(refused, Mapping):
        entries = cast("Mapping[Any, Any]", refused).values()
    if not isinstance(entries, Iterable) or isinstance(entries, str):
        return
    for entry in cast("Iterable[Any]", entries):
        code: Any = attribute(entry, "code")
        if isinstance(entry, tuple) and entry:
            code = cast("tuple[Any, ...]", entry)[0]
        if type(code) is int and 400 <= code < 600:
            yield code
