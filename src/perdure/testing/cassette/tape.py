"""The file of a cassette.

    {
     "cassette": 1,
     "recorded": "2026-11-26",
     "exchanges": [
      {
       "number": 1,
       "provider": "anthropic",
       "path": "/v1/messages",
       "request": {"model": "claude-opus-4-8", "messages": [...], "tools": [...]},
       "status": 200,
       "answer": {...}
      },
      {
       "number": 2,
       ...
       "request": {"messages": {"as_in": 1, "then": [...]}, "tools": {"as_in": 1}},
       "stream": [{"event": "message_start", "data": {...}}, ...]
      }
     ],
     "tools": [{"tool": "price", "arguments": {"item": "lamp"}, "result": 40}]
    }

What a conversation repeats with each turn stands there once: `as_in` names the exchange whose value it is, or begins
with. So a conversation grows by what is new in it, and a reader sees just that.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...core.errors import ConfigError
from ...runtime.conversation.toolbox import in_words
from .exchange import Exchange, ProviderName, ToolCalled
from .form import written

__all__ = ["FORMAT", "dump", "is_cassette", "load", "save"]

FORMAT = 1
"""The version of the format, which `cassette` of a file names."""

_REPEATED = ("messages", "input", "contents", "system", "systemInstruction", "instructions", "tools")
_WORTH = 120
"""characters of JSON: what is shorter is repeated"""

_STRICT = ConfigDict(frozen=True, extra="forbid")


class _Event(BaseModel):
    model_config = _STRICT

    event: str | None = None
    data: Any


class _Exchange(BaseModel):
    model_config = _STRICT

    number: int = Field(ge=1)
    provider: ProviderName
    method: str = "POST"
    path: str
    request: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    answer: Any = None
    stream: list[_Event] | None = None


class _Tool(BaseModel):
    model_config = _STRICT

    tool: str
    arguments: dict[str, Any] = {}
    result: Any = None
    error: str | None = None


class _Tape(BaseModel):
    model_config = _STRICT

    cassette: int
    recorded: date | None = None
    exchanges: list[_Exchange] = []
    tools: list[_Tool] = []

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `ConfigError`."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"the cassette `{path}` cannot be read ({error.strerror or error}); `perdure record --out {path} "
                "COMMAND` makes it"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the cassette `{path}` is no JSON: {error}") from None
        if not isinstance(told, dict) or "cassette" not in told:
            raise ConfigError(
                f"`{path}` is no cassette: it has no `cassette`, which names the version of its format; "
                f"`perdure record --out {path} COMMAND` makes one"
            )
        version: object = cast("dict[str, Any]", told)["cassette"]
        if version != FORMAT:
            raise ConfigError(
                f"the cassette `{path}` is of format `{version}`, and this release reads format {FORMAT}: record it "
                "again, or use the release that made it"
            )
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            raise ConfigError(f"the cassette `{path}` cannot be used: {in_words(error)}") from None


def load(path: Path) -> tuple[tuple[Exchange, ...], tuple[ToolCalled, ...]]:
    """Exchanges and calls of tools. Raises `ConfigError` that names what is wrong."""
    tape = _Tape.read(path)
    bodies: dict[int, Any] = {}
    found: list[Exchange] = []
    for one in tape.exchanges:
        if one.number in bodies:
            raise ConfigError(f"the cassette `{path}` has two exchanges of number {one.number}")
        body = bodies[one.number] = _whole(one.request, bodies, f"exchange {one.number} of cassette `{path}`")
        stream = None if one.stream is None else tuple((event.event, event.data) for event in one.stream)
        told = one.model_dump(exclude={"request", "stream"})
        found.append(Exchange(**told, request=body, stream=stream))
    return tuple(found), tuple(ToolCalled(**tool.model_dump()) for tool in tape.tools)


def is_cassette(path: Path) -> bool:
    """Whether a file of JSON says of itself that it is a cassette."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and "cassette" in told


def dump(exchanges: Sequence[Exchange], tools: Sequence[ToolCalled], *, recorded: date) -> str:
    """The text of a file."""
    told: dict[str, Any] = {"cassette": FORMAT, "recorded": recorded.isoformat()}
    told["exchanges"] = [_told(one, exchanges[:i]) for i, one in enumerate(exchanges)]
    if tools:
        told["tools"] = [_tool(call) for call in tools]
    return written(told)


def save(path: Path, text: str) -> None:
    """Put it in the place of what was there: whoever reads meanwhile finds the one or the other. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _told(one: Exchange, before: Sequence[Exchange]) -> dict[str, Any]:
    told: dict[str, Any] = {"number": one.number, "provider": one.provider}
    if one.method != "POST":
        told["method"] = one.method
    told["path"] = one.path
    if one.request is not None:
        told["request"] = _short(one, before)
    told["status"] = one.status
    if one.headers:
        told["headers"] = dict(one.headers)
    if one.stream is None:
        told["answer"] = one.answer
    else:
        told["stream"] = [
            {"data": data} if name is None else {"event": name, "data": data} for name, data in one.stream
        ]
    return told


def _tool(call: ToolCalled) -> dict[str, Any]:
    ending = {"result": call.result} if call.error is None else {"error": call.error}
    return {"tool": call.tool, "arguments": dict(call.arguments), **ending}


def _short(one: Exchange, before: Sequence[Exchange]) -> Any:
    """The body, with what an earlier one has already replaced by where that is."""
    asked: Any = one.request
    if not isinstance(asked, dict):
        return asked
    body = dict(cast("dict[str, Any]", asked))
    for name in _REPEATED:
        value = body.get(name)
        if value is None or len(json.dumps(value)) < _WORTH:
            continue
        best: tuple[int, dict[str, Any]] | None = None
        for other in reversed(before):
            told: Any = other.request
            earlier = cast("dict[str, Any]", told).get(name) if isinstance(told, dict) else None
            if earlier == value:
                best = 10**9, {"as_in": other.number}
                break
            if isinstance(value, list) and isinstance(earlier, list):
                n = len(cast("list[Any]", earlier))
                if n and value[:n] == earlier and (best is None or n > best[0]):
                    best = n, {"as_in": other.number, "then": value[n:]}
        if best is not None:
            body[name] = best[1]
    return body


def _whole(body: Any, bodies: Mapping[int, Any], where: str) -> Any:
    """The body as it was sent."""
    if not isinstance(body, dict):
        return body
    found = dict(cast("dict[str, Any]", body))
    for name in _REPEATED:
        told = found.get(name)
        if not isinstance(told, dict) or "as_in" not in told:
            continue
        named = cast("dict[str, Any]", told)
        earlier = bodies.get(named["as_in"])
        if not isinstance(earlier, dict) or name not in earlier:
            raise ConfigError(
                f"`{name}` of {where} is `as_in` {named['as_in']}, and no exchange before it has that"
            )
        value = cast("Any", earlier)[name]
        found[name] = [*value, *named["then"]] if "then" in named else value
    return found
