"""Connections of HTTP clients: httpx and httpx2, urllib3 and requests, aiohttp, the standard library.

What matters is where it broke. Before the connection stood, nothing was sent. After that nobody knows: the answer that
was lost may have been "done".
"""

from __future__ import annotations

import traceback
from typing import Any, cast

from ....core.failures import Diagnosis, FailureClass
from .finding import Finding, Inside, Seen, attribute, causes, in_doubt, leaf, module_of, not_done, type_names

__all__ = ["read_transport"]

_PERMANENT, _TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT

NO_CONNECTION = not_done(_TRANSIENT, "no connection was made, so nothing was sent")
LOST = in_doubt(_TRANSIENT, "the connection broke after the request may have been sent")
SLOW = in_doubt(_TRANSIENT, "no answer came in time; the request may have been sent")
BAD_ADDRESS = not_done(_PERMANENT, "the address cannot be used, so nothing was sent")
UNTRUSTED = not_done(_PERMANENT, "the server's certificate is not trusted, so nothing was sent")

_HTTPX = {
    "ConnectError": NO_CONNECTION,
    "ConnectTimeout": NO_CONNECTION,
    "PoolTimeout": not_done(_TRANSIENT, "no connection of the pool was free, so nothing was sent"),
    "ProxyError": not_done(_TRANSIENT, "the proxy made no connection, so nothing was sent"),
    "ReadTimeout": SLOW,
    "WriteTimeout": SLOW,
    "TimeoutException": SLOW,
    "UnsupportedProtocol": BAD_ADDRESS,
    "InvalidURL": BAD_ADDRESS,
    "LocalProtocolError": in_doubt(_PERMANENT, "the request is not valid HTTP"),
    "TooManyRedirects": in_doubt(_PERMANENT, "it was redirected without end"),
    "DecodingError": in_doubt(_TRANSIENT, "the answer came damaged"),
    "TransportError": LOST,
}
"""By the name of the type or the nearest that it is derived from; httpcore's have the same names."""

_URLLIB3 = {
    "NewConnectionError": NO_CONNECTION,
    "NameResolutionError": NO_CONNECTION,
    "ConnectTimeoutError": NO_CONNECTION,
    "EmptyPoolError": not_done(_TRANSIENT, "no connection of the pool was free, so nothing was sent"),
    "ClosedPoolError": not_done(_PERMANENT, "the pool is closed, so nothing was sent"),
    "LocationValueError": BAD_ADDRESS,
    "ReadTimeoutError": SLOW,
    "ProtocolError": LOST,
    "IncompleteRead": LOST,
    "DecodeError": in_doubt(_TRANSIENT, "the answer came damaged"),
}

_REQUESTS = {
    "ConnectTimeout": NO_CONNECTION,
    "ReadTimeout": SLOW,
    "Timeout": SLOW,
    "InvalidURL": BAD_ADDRESS,
    "MissingSchema": BAD_ADDRESS,
    "InvalidSchema": BAD_ADDRESS,
    "InvalidHeader": not_done(_PERMANENT, "a header cannot be sent, so nothing was"),
    "ChunkedEncodingError": LOST,
    "ContentDecodingError": in_doubt(_TRANSIENT, "the answer came damaged"),
    "TooManyRedirects": in_doubt(_PERMANENT, "it was redirected without end"),
    "ConnectionError": LOST,
}

_AIOHTTP = {
    "ClientConnectorCertificateError": UNTRUSTED,
    "ClientConnectorError": NO_CONNECTION,  # DNS and TLS too
    "ConnectionTimeoutError": NO_CONNECTION,
    "InvalidURL": BAD_ADDRESS,
    "TooManyRedirects": in_doubt(_PERMANENT, "it was redirected without end"),
    "ServerTimeoutError": SLOW,
    "ClientPayloadError": LOST,
    "ClientConnectionError": LOST,
}

_STANDARD = {
    "RemoteDisconnected": LOST,
    "IncompleteRead": LOST,
    "BadStatusLine": LOST,
    "CannotSendRequest": not_done(_TRANSIENT, "the connection was not ready, so nothing was sent"),
    "InvalidURL": BAD_ADDRESS,
    "HTTPException": LOST,
}

_TABLES: dict[str, dict[str, Diagnosis]] = {
    "httpx": _HTTPX,
    "httpx2": _HTTPX,
    "httpcore": _HTTPX,
    "httpcore2": _HTTPX,
    "urllib3": _URLLIB3,
    "requests": _REQUESTS,
    "aiohttp": _AIOHTTP,
    "http": _STANDARD,
}


def read_transport(seen: Seen) -> Finding | None:
    """Errors of connections. Those with a status are read by `http`, which comes first."""
    error, package = seen.error, module_of(seen.name)
    if leaf(seen.name) == "MaxRetryError" and package == "urllib3":
        reason: Any = attribute(error, "reason")
        return Inside(reason, LOST, proof=_attempts(error) == 1)
    if package == "requests" and error.args and isinstance(error.args[0], BaseException):
        inner: BaseException = error.args[0]  # urllib3's own, which knows where it broke
        known = _by_name(seen)
        return Inside(inner, known or LOST)
    if package == "urllib" and leaf(seen.name) == "URLError":
        reason = attribute(error, "reason")
        return Inside(reason if isinstance(reason, BaseException) else None, LOST)
    known = _by_name(seen)
    if known is NO_CONNECTION and _untrusted(error):
        return UNTRUSTED
    return known


def _by_name(seen: Seen) -> Diagnosis | None:
    for name in seen.names:
        found = _TABLES.get(module_of(name), {}).get(leaf(name))
        if found is not None:
            return found
    return None


def _untrusted(error: BaseException) -> bool:
    return any("ssl:SSLCertVerificationError" in type_names(type(at)) for at in causes(error)) or (
        "CERTIFICATE_VERIFY_FAILED" in str(error)
    )


def _attempts(error: BaseException) -> int:
    """How often urllib3 sent the request: each new attempt is a call of `urlopen` within the last one's.

    The error tells only of the last attempt; one before it may have been sent. So it proves something where it is the
    only one.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return sum(
        1
        for frame in frames
        if frame.f_code.co_name == "urlopen"
        and cast("str", frame.f_globals.get("__name__")) == "urllib3.connectionpool"
    )
