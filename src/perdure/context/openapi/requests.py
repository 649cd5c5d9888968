"""A call of an operation as an HTTP request: each argument where it belongs, in the style that the document says.

The styles are those of OpenAPI 3.1, section 4.8.12.3 ("Style Values"), after RFC 6570. Whatever a model says stays in
its place: a path keeps its segments, a query its parameters, a header its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, unquote

from ...core.errors import Refused
from ...core.json_form import misfits
from ..definition import Definition

__all__ = ["Request", "request_of"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNRESERVED = "-._~"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes | None = None


def request_of(definition: Definition, arguments: Mapping[str, Any], *, base: str) -> Request:
    """The request that a call means. Raises `Refused` where arguments do not fit, or would leave their place."""
    unfit = misfits(definition.arguments, dict(arguments))
    if unfit:
        raise Refused(f"`{definition.name}` was not called: {'; '.join(unfit)}")
    called = definition.annotations
    path, query = str(called["path"]), list[str]()
    headers, cookies = dict[str, str](), list[str]()
    for way in called.get("parameters", ()):
        value = arguments.get(way["as"])
        if value is None and way["in"] != "path":
            continue
        name = str(way["name"])
        match way["in"]:
            case "path":
                path = path.replace(f"{{{name}}}", _in_path(name, value, way))
            case "query":
                query += _in_query(name, value, way)
            case "header":
                headers[name] = _line(
                    name, _simple(value, explode=way.get("explode", False), way=way, plain=True)
                )
            case _:
                cookies += _in_query(name, value, way)
    if any(part in (".", "..") for part in re.split(r"[/\\]", unquote(path))):
        raise Refused(
            f"`{definition.name}` was not called: `{path[:200]}` would be another path than its own"
        )
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    content = None
    body = called.get("body")
    if body is not None and body["as"] in arguments:
        kind = str(body["content"])
        headers["Content-Type"] = kind
        content = _written(arguments[body["as"]], kind, body.get("parts", {}))
    url = base + path + ("?" + "&".join(query) if query else "")
    return Request(str(called["method"]), url, headers, content)


def _in_path(name: str, value: Any, way: Mapping[str, Any]) -> str:
    explode = bool(way.get("explode", False))
    match way.get("style", "simple"):
        case "label":
            text = "." + _joined(value, ".", explode=explode, way=way)
        case "matrix":
            if explode and isinstance(value, list | dict):
                pairs = (
                    [(name, inner) for inner in cast("list[Any]", value)]
                    if isinstance(value, list)
                    else _pairs(value)
                )
                text = "".join(f";{_quoted(n)}={_quoted(_word(v))}" for n, v in pairs)
            else:
                text = f";{_quoted(name)}={_simple(value, explode=False, way=way)}"
        case _:
            text = _simple(value, explode=explode, way=way)
    if not text:
        raise Refused(f"`{name}` stands in the path, and cannot be empty: that would be another path")
    return text


def _in_query(name: str, value: Any, way: Mapping[str, Any]) -> list[str]:
    key = _quoted(name)
    if way.get("json"):
        return [f"{key}={_quoted(json.dumps(value, ensure_ascii=False, separators=(',', ':')))}"]
    style, explode = way.get("style", "form"), bool(way.get("explode", True))
    if style == "deepObject" and isinstance(value, dict):
        return [f"{key}%5B{_quoted(n)}%5D={_quoted(_word(v))}" for n, v in _pairs(value)]
    if isinstance(value, list):
        items = [_quoted(_word(inner)) for inner in cast("list[Any]", value)]
        if explode and style == "form":
            return [f"{key}={item}" for item in items]
        between = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(str(style), ",")
        return [f"{key}={between.join(items)}"] if items else []
    if isinstance(value, dict):
        pairs = [(_quoted(n), _quoted(_word(v))) for n, v in _pairs(value)]
        if explode:
            return [f"{n}={v}" for n, v in pairs]
        return [f"{key}={','.join(part for pair in pairs for part in pair)}"]
    return [f"{key}={_quoted(_word(value))}"]


def _simple(value: Any, *, explode: bool, way: Mapping[str, Any], plain: bool = False) -> str:
    return _joined(value, ",", explode=explode, way=way, plain=plain)


def _joined(value: Any, between: str, *, explode: bool, way: Mapping[str, Any], plain: bool = False) -> str:
    """A value in one text. `plain`: not percent-encoded, as headers have it."""
    written: Callable[[str], str] = str if plain else _quoted
    if way.get("json"):
        return written(json.dumps(value, ensure_ascii=True, separators=(",", ":")))
    if isinstance(value, list):
        return between.join(written(_word(inner)) for inner in cast("list[Any]", value))
    if isinstance(value, dict):
        inner = "=" if explode else between
        return between.join(f"{written(n)}{inner}{written(_word(v))}" for n, v in _pairs(value))
    return written(_word(value))


def _pairs(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """The members of an object; the items of a list, each by that name."""
    if isinstance(value, list):
        return [(name, inner) for inner in cast("list[Any]", value)]
    return [(str(name), inner) for name, inner in cast("dict[str, Any]", value).items()]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, list | dict):  # OpenAPI does not say how: as JSON it is at least one thing
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _quoted(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


def _line(name: str, text: str) -> str:
    if _CONTROL.search(text) or not text.isascii():
        raise Refused(f"`{name}` stands in a header: it takes letters, digits and signs of one line (ASCII)")
    return text


def _written(value: Any, kind: str, parts: Mapping[str, Any]) -> bytes:
    bare = kind.partition(";")[0].strip().lower()
    if bare == "application/x-www-form-urlencoded" and isinstance(value, dict):
        fields = [
            pair
            for name, inner in _pairs(value)
            if inner is not None
            for pair in _in_query(name, inner, {"style": "form", "explode": True, **parts.get(name, {})})
        ]
        return "&".join(fields).encode()
    if bare == "text/plain":
        return _word(value).encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
