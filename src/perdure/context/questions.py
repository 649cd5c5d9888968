"""What an MCP server asks back, and how it is answered: in the protocol's own terms, as they stand in the journal.

elicitation/create, form   a question with a form, for a person
elicitation/create, url    an address that a person goes to, and says that they did
sampling/createMessage     a model is asked
roots/list                 which folders it may use
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, cast
from urllib.parse import urlsplit

from pydantic import Field
from typing_extensions import TypedDict

__all__ = [
    "accepted",
    "address_of",
    "declined",
    "form_of",
    "in_words",
    "kind_of",
    "params_of",
    "roots",
    "said_to_model",
    "sampled",
]

Kind = Literal["form", "url", "model", "roots", "unknown"]

_MOST_FIELDS = 50
_MOST_CHOICES = 200
_LONGEST = 1000


def kind_of(ask: Mapping[str, Any]) -> Kind:
    """What is asked for."""
    params = params_of(ask)
    match ask.get("method"):
        case "elicitation/create":
            return "url" if params.get("mode") == "url" else "form"
        case "sampling/createMessage":
            return "model"
        case "roots/list":
            return "roots"
        case _:
            return "unknown"


def params_of(ask: Mapping[str, Any]) -> dict[str, Any]:
    """Its parameters."""
    return _table(ask.get("params"))


def said_to_model(ask: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The conversation that a model is to go on with: who, and what."""
    found: list[tuple[str, str]] = []
    for message in map(_table, _list(params_of(ask).get("messages"))):
        content = message.get("content")
        blocks = map(_table, _list(content) or [content])
        text = "\n".join(str(b.get("text", f"[{b.get('type')}]")) for b in blocks)
        found.append((str(message.get("role", "user")), text))
    return found


def in_words(ask: Mapping[str, Any]) -> str:
    """What a server says to a person."""
    return str(params_of(ask).get("message") or "")[:_LONGEST]


def address_of(ask: Mapping[str, Any]) -> str | None:
    """Where a person is to go; None: that is no address to be shown to anybody."""
    url = str(params_of(ask).get("url") or "")
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and len(url) <= 2000
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    good = parts.scheme == "https" or (parts.scheme == "http" and local)
    return url if plain and good and parts.hostname and not parts.username else None


def form_of(ask: Mapping[str, Any]) -> Any | None:
    """The type of an answer: a form that is flat, as the protocol has it; None: it is not of that kind.

    Fields that are asked for nothing (`properties` empty) make a yes or no.
    """
    schema = _table(params_of(ask).get("requestedSchema"))
    properties, required = _table(schema.get("properties")), _list(schema.get("required"))
    if len(properties) > _MOST_FIELDS:
        return None
    fields: dict[str, Any] = {}
    for name, told in properties.items():
        kind = _kind(_table(told))
        if kind is None or not name or len(name) > 100:
            return None
        fields[name] = kind if name in required else NotRequired[kind]
    return TypedDict("Form", fields)  # pyright: ignore[reportArgumentType]  # made of what the server asks


def _kind(told: dict[str, Any]) -> Any | None:
    choices = _choices(told)
    more = {
        k: told[k] for k in ("format", "default") if isinstance(told.get(k), str | int | float | bool | list)
    }
    words: dict[str, Any] = {
        "title": _text(told.get("title")),
        "description": _text(told.get("description")),
        "json_schema_extra": more or None,
    }
    match told.get("type"):
        case "string" if choices is not None:
            return Annotated[Literal[tuple(choices)], Field(**words)]
        case "string":
            most = _number(told.get("maxLength"))
            least = _number(told.get("minLength"))
            return Annotated[str, Field(min_length=least, max_length=most, **words)]
        case "integer":
            return Annotated[int, Field(ge=told.get("minimum"), le=told.get("maximum"), **words)]
        case "number":
            return Annotated[float, Field(ge=told.get("minimum"), le=told.get("maximum"), **words)]
        case "boolean":
            return Annotated[bool, Field(**words)]
        case "array":
            inner = _choices(_table(told.get("items")))
            if inner is None:
                return None
            least, most = _number(told.get("minItems")), _number(told.get("maxItems"))
            return Annotated[list[Literal[tuple(inner)]], Field(min_length=least, max_length=most, **words)]
        case _:
            return None


def _choices(told: dict[str, Any]) -> list[str] | None:
    found = _list(told.get("enum"))
    if not found:
        found = [_table(one).get("const") for one in _list(told.get("oneOf")) or _list(told.get("anyOf"))]
    return [str(one) for one in found] if 0 < len(found) <= _MOST_CHOICES else None


def _table(told: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _list(told: Any) -> list[Any]:
    return cast("list[Any]", told) if isinstance(told, list) else []


def _text(told: Any) -> str | None:
    return told[:_LONGEST] if isinstance(told, str) else None


def _number(told: Any) -> int | None:
    return told if isinstance(told, int) and told >= 0 else None


# answers -------------------------------------------------------------------------------------------------------------


def accepted(content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A person has answered; what they did at an address is not said."""
    return {"action": "accept", **({} if content is None else {"content": dict(content)})}


def declined(*, nobody: bool = False) -> dict[str, Any]:
    """A person has said no; or nobody has said anything."""
    return {"action": "cancel" if nobody else "decline"}


def sampled(text: str, model: str) -> dict[str, Any]:
    """What a model has said."""
    content = {"type": "text", "text": text}
    return {"role": "assistant", "content": content, "model": model, "stopReason": "endTurn"}


def roots(folders: Sequence[str]) -> dict[str, Any]:
    """The folders that a server may use, as `file:` addresses."""
    return {"roots": [{"uri": folder} for folder in folders]}
