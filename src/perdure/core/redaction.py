"""Secrets that this process has been handed, taken out of whatever is about to be written down.

The second line: the first is that a `Credential` shows nothing of itself. A tool that puts one into its result, an
error that quotes a request, a library that logs a header: what they say is kept with `[credential of github]` instead.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import traceback
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

import pydantic_core
from pydantic import ValidationError

from .codec import Shape
from .errors import Unserialisable

__all__ = ["SHORTEST", "Secrets"]

T = TypeVar("T")

SHORTEST = 8
"""Characters: what is shorter would be found in anything."""

_CORE = 10
"""Characters of an encoded secret that are looked for at least."""

_UNSAFE = re.compile(r"[^\w .:/-]")

MOST = 256
"""Secrets of one run that are remembered; of more, the oldest is forgotten."""


class Secrets:
    """The secrets of one run, as long as a worker has it. From any thread."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        """what is put in the place of each"""
        self._lock = threading.Lock()
        self._texts: list[tuple[str, str]] = []
        """every spelling of each and its mark, the longest first"""
        self._bytes: list[bytes] = []
        _everybody.add(self)

    def know(self, secret: str, what: str) -> None:
        """From now on `[what]` stands wherever that would."""
        if len(secret) < SHORTEST:
            return
        with self._lock:
            if secret in self._marks:
                return
            marks = {**self._marks, secret: f"[{_UNSAFE.sub('_', what)}]"}
            if len(marks) > MOST:
                del marks[next(iter(marks))]
            texts = {text: mark for known, mark in marks.items() for text in _spellings(known)}
            self._marks = marks
            self._texts = sorted(texts.items(), key=lambda pair: -len(pair[0]))
            self._bytes = [text.encode("utf-8", "surrogatepass") for text, _ in self._texts]
        _everybody.watch()

    def text(self, text: str) -> str:
        """A text without them."""
        for secret, mark in self._texts:
            if secret in text:
                text = text.replace(secret, mark)
        return text

    def payload(self, data: bytes) -> bytes:
        """JSON without them: it stays JSON, also where a secret is a number. What holds none stays the same bytes."""
        if not any(secret in data for secret in self._bytes):
            return data
        try:
            told: Any = pydantic_core.from_json(data)
        except ValueError:
            return self.text(data.decode("utf-8", "replace")).encode()
        return pydantic_core.to_json(self.value(told))

    def value(self, value: Any) -> Any:
        """A JSON value without them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, Any]", value)
            return {self.text(name): self.value(one) for name, one in fields.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in cast("Sequence[Any]", value)]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._marks.get(str(value), value)
        return value

    def kept(self, shape: Shape[T], payload: bytes, value: T) -> tuple[bytes, T]:
        """A result's bytes, and the value that reading them gives, without them. Raises `Unserialisable`."""
        clean = self.payload(payload)
        if clean == payload:
            return payload, value
        try:
            return clean, shape.load(clean)
        except ValidationError:
            raise Unserialisable(
                "the value holds a secret, and without it does not fit its declared type"
            ) from None


def _spellings(secret: str) -> Iterable[str]:
    """As it is, and as it stands in JSON, in a URL, in Base64 wherever it begins there, and in hexadecimal."""
    found = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        secret.encode("utf-8", "surrogatepass").hex(),
    }
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        # The first and the last characters depend on what stands beside it.
        whole = base64.b64encode(b"\0" * before + data).rstrip(b"=")
        core = whole[(0, 2, 3)[before] : len(whole) - (1 if (before + len(data)) % 3 else 0)].decode()
        if len(core) >= _CORE:
            found |= {core, core.replace("+", "-").replace("/", "_")}
    return found


class _Everybody:
    """All that is known in this process, for what belongs to no run: log records."""

    def __init__(self) -> None:
        self._all: weakref.WeakSet[Secrets] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._watching = False

    def add(self, secrets: Secrets) -> None:
        with self._lock:
            self._all.add(secrets)

    def watch(self) -> None:
        """Look at every log record from now on. Not before: a process that knows no secret pays nothing."""
        with self._lock:
            if self._watching:
                return
            self._watching = True
            make = logging.getLogRecordFactory()

        def cleaned(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            self.clean(record)
            return record

        logging.setLogRecordFactory(cleaned)

    def text(self, text: str) -> str:
        with self._lock:
            known = list(self._all)
        for secrets in known:
            text = secrets.text(text)
        return text

    def clean(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except Exception:  # its arguments do not fit: whoever writes it down will say so
            return
        if (clean := self.text(said)) != said:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[1] is not None:
            told = "".join(traceback.format_exception(record.exc_info[1]))
            if (clean := self.text(told)) != told:
                record.exc_info, record.exc_text = None, clean.rstrip("\n")


_everybody = _Everybody()  # of the process, as logging is
