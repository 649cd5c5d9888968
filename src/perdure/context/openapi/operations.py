"""The operations of a document as tools: what each takes in one schema, and how the pieces travel.

parameters (path, query, header, cookie)  ┐
body (JSON, form, text)                   ┘──► one object: each parameter by its name, the body as `body`
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from ...core.errors import ConfigError
from ..definition import Definition
from .document import Document, table
from .forms import Forms

__all__ = ["METHODS", "Operation", "definition", "operations"]

log = logging.getLogger("perdure.openapi")

METHODS = ("get", "head", "put", "post", "patch", "delete", "options")
_NOT_TOLD = frozenset({"accept", "content-type", "authorization"})
"""OpenAPI: parameters of these names are ignored, for other parts of the document say them."""
_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_LONGEST_NAME = 64
_LONGEST_WORDS = 4000
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Operation:
    """One operation, as it stands in the document."""

    def __init__(self, path: str, method: str, said: dict[str, Any], shared: dict[str, Any]) -> None:
        self.path, self.method = path, method.upper()
        self.said, self.shared = said, shared
        """what its path says for all of its operations"""

    @property
    def id(self) -> str | None:
        """What the document calls it, if it does."""
        found = self.said.get("operationId")
        return found if isinstance(found, str) and found else None

    @property
    def line(self) -> str:
        """`GET /orders/{id}`."""
        return f"{self.method} {self.path}"

    @property
    def names(self) -> tuple[str, ...]:
        """By which settings may mean it."""
        return self.id or "", self.line

    def name(self, *, room: int) -> str:
        """Of the tool: at most `room` characters that models take; a longer one ends in a piece of its digest."""
        name = _UNSAFE.sub("_", self.id or f"{self.method.lower()}{self.path}").strip("_") or "root"
        if len(name) <= room:
            return name
        mark = hashlib.sha256((self.id or self.line).encode()).hexdigest()[:8]
        return f"{name[: room - 9]}_{mark}"


def operations(document: Document) -> Iterator[Operation]:
    """All of a document, in its order."""
    for path, item in table(document.root.get("paths")).items():
        shared = table(document.resolved(item))
        for method in METHODS:
            said = table(shared.get(method))
            if said and path.startswith("/"):
                yield Operation(path, method, said, shared)


def definition(
    document: Document, operation: Operation, *, room: int, given: frozenset[str] = frozenset()
) -> Definition | None:
    """An operation as a tool; None, and a line in the log, where its body cannot be written.

    `room`: characters that its name may have. `given`: headers that the settings give (lower case), which are no
    arguments. Raises `ConfigError` for a document that says what cannot be.
    """
    forms = Forms(document, "request")
    properties: dict[str, Any] = {}
    required: list[str] = []
    travels: list[dict[str, Any]] = []
    for parameter in _parameters(document, operation):
        kind, name = parameter["in"], parameter["name"]
        if kind not in _STYLES or (kind == "header" and name.lower() in _NOT_TOLD | given):
            continue
        taken = _free(name, kind, properties)
        properties[taken] = _described(forms.made(_schema_of(parameter)), parameter)
        if parameter.get("required") is True or kind == "path":
            required.append(taken)
        travels.append({"as": taken, **_way(parameter)})
    body = _body(document, operation)
    if body is _NO_WAY:
        log.warning(
            "OpenAPI document %s: `%s` takes a body of a kind that is not written here, so it is no tool",
            document.name, operation.line,
        )  # fmt: skip
        return None
    if body is not None:
        taken = _free("body", "body", properties)
        properties[taken] = _described(forms.made(body["schema"]), body)
        if body["required"]:
            required.append(taken)
        body = {
            "as": taken,
            "content": body["content"],
            **({"parts": body["parts"]} if body["parts"] else {}),
        }
    arguments: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        arguments["required"] = required
    called: dict[str, Any] = {"method": operation.method, "path": operation.path}
    if operation.id is not None:
        called["operation"] = operation.id
    if travels:
        called["parameters"] = travels
    if body is not None:
        called["body"] = body
    result, headers = _answer(document, operation)
    if headers:
        called["headers"] = headers
    words = [
        operation.said.get("summary"),
        operation.said.get("description") or operation.shared.get("description"),
    ]
    description = "\n\n".join(str(w).strip() for w in words if w) or operation.line
    return Definition(
        name=operation.name(room=room),
        title=None,
        description=description[:_LONGEST_WORDS],
        arguments=forms.whole(arguments),
        result=result,
        annotations=called,
    )


def _parameters(document: Document, operation: Operation) -> list[dict[str, Any]]:
    """Those of its path, then its own: one of the same name and place stands for that of the path."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for holder in (operation.shared, operation.said):
        for told in cast("list[Any]", holder.get("parameters") or []):
            known = table(document.resolved(told))
            if isinstance(known.get("name"), str) and isinstance(known.get("in"), str):
                found[known["in"], known["name"]] = known
    missing = set(re.findall(r"{([^{}]+)}", operation.path)) - {n for place, n in found if place == "path"}
    if missing:
        raise ConfigError(
            f"OpenAPI document `{document.name}` cannot be used: `{operation.line}` does not say what "
            f"`{min(missing)}` is, which stands in its path"
        )
    return list(found.values())


def _schema_of(parameter: Mapping[str, Any]) -> Any:
    for media in table(parameter.get("content")).values():
        return table(media).get("schema", {})
    return parameter.get("schema", {})


def _way(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """How a parameter is written: all of it that is not as OpenAPI has it where nothing is said."""
    kind = str(parameter["in"])
    way: dict[str, Any] = {"name": parameter["name"], "in": kind}
    if isinstance(parameter.get("content"), dict):
        way["json"] = True
        return way
    style = str(parameter.get("style") or _STYLES[kind])
    way["style"] = style
    exploded = parameter.get("explode")
    way["explode"] = exploded if isinstance(exploded, bool) else style == "form"
    return way


def _described(form: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    words = said.get("description")
    return (
        {**form, "description": str(words)[:_LONGEST_WORDS]} if words and "description" not in form else form
    )


def _free(name: str, place: str, taken: Mapping[str, Any]) -> str:
    """A name that models take, and no other argument has."""
    made = _UNSAFE.sub("_", name).strip("_")[:_LONGEST_NAME] or place
    for tried in (made, f"{made[:50]}_{place}", *(f"{made[:50]}_{place}_{n}" for n in range(2, 1000))):
        if tried not in taken:
            return tried
    raise ConfigError(f"too many parameters are called `{name[:80]}`")


_NO_WAY: dict[str, Any] = {}


def _body(document: Document, operation: Operation) -> dict[str, Any] | None:
    """Its body in the kind that is written best; None: it takes none; `_NO_WAY`: none that can be written."""
    said = table(document.resolved(operation.said.get("requestBody")))
    kinds = table(said.get("content"))
    for wanted in _WRITTEN:
        for kind, media in kinds.items():
            if not wanted(kind.partition(";")[0].strip().lower()):
                continue
            return {
                "content": "application/json" if "*" in kind else kind,
                "schema": table(media).get("schema", {}),
                "required": said.get("required") is True,
                "description": said.get("description"),
                "parts": _encodings(table(media)),
            }
    return _NO_WAY if kinds else None


_WRITTEN: tuple[Callable[[str], bool], ...] = (
    lambda kind: kind == "application/json",
    lambda kind: kind.endswith("+json"),
    lambda kind: kind == "application/x-www-form-urlencoded",
    lambda kind: kind == "text/plain",
    lambda kind: kind in ("*/*", "application/*"),
)


def _encodings(media: Mapping[str, Any]) -> dict[str, Any]:
    """How the fields of a form are written, where the document says it."""
    found: dict[str, Any] = {}
    for name, encoding in table(media.get("encoding")).items():
        kept = {word: said for word, said in table(encoding).items() if word in ("style", "explode")}
        if kept:
            found[name] = kept
    return found


def _answer(document: Document, operation: Operation) -> tuple[dict[str, Any] | None, list[str]]:
    """The schema of its first good answer, if that is JSON, and the headers that it has."""
    answers: dict[str, Any] = operation.said.get("responses") or {}
    good = next((a for code, a in sorted(answers.items()) if code.startswith("2")), answers.get("default"))
    said = table(document.resolved(good))
    headers = sorted(table(said.get("headers")))
    for kind, media in table(said.get("content")).items():
        schema = table(media).get("schema")
        if schema is not None and (kind == "application/json" or kind.endswith("+json")):
            forms = Forms(document, "answer")
            return forms.whole(forms.made(schema)), headers
    return None, headers
