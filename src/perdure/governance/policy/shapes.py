"""What a tool's arguments look like to a policy: JSON schema to Cedar types, and values to Cedar values.

| JSON | Cedar |
|---|---|
| string, an enumeration of strings | `String` |
| integer | `Long` (64 bits) |
| number | `decimal` (4 digits behind the point) |
| boolean | `Bool` |
| array | `Set` |
| object with known properties | a record |
| anything else | `String`: the value as JSON, for `like` |

An argument that may be left out, or be null, is optional: a policy has to ask `context.args has note` first, and the
validator insists on that. A value that its type cannot hold is an error, and an error is a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import pydantic_core

__all__ = ["Unfit", "cedar_record", "cedar_value"]

_DEEPEST = 12
_LONG = range(-(1 << 63), 1 << 63)
_STRING: dict[str, Any] = {"type": "String"}
_DECIMAL: dict[str, Any] = {"type": "Extension", "name": "decimal"}


class Unfit(ValueError):
    """A value that its Cedar type cannot hold."""


def cedar_record(form: Mapping[str, Any]) -> dict[str, Any]:
    """The Cedar type of a tool's arguments, by their JSON schema."""
    return _record(form, form, 0)


def cedar_value(type_: Mapping[str, Any], value: Any, path: str = "args") -> Any:
    """A JSON value as Cedar reads it. Raises `Unfit`, naming the argument."""
    match type_["type"]:
        case "Record":
            if not isinstance(value, dict):
                raise Unfit(f"`{path}` is no object")
            return _record_value(type_["attributes"], cast("dict[str, Any]", value), path)
        case "Set":
            if not isinstance(value, list):
                raise Unfit(f"`{path}` is no list")
            return [cedar_value(type_["element"], each, path) for each in cast("list[Any]", value)]
        case "Extension":
            return {"__extn": {"fn": "decimal", "arg": _decimal(value, path)}}
        case "Long":
            if not isinstance(value, int) or isinstance(value, bool) or value not in _LONG:
                raise Unfit(f"`{path}` is no whole number of 64 bits")
            return value
        case "Boolean":
            if not isinstance(value, bool):
                raise Unfit(f"`{path}` is neither true nor false")
            return value
        case _:
            return value if isinstance(value, str) else pydantic_core.to_json(value).decode()


def _record_value(attributes: Mapping[str, Any], value: dict[str, Any], path: str) -> dict[str, Any]:
    unknown = value.keys() - attributes.keys()
    if unknown:
        raise Unfit(f"`{path}.{min(unknown)}` is not among what the tool takes")
    found: dict[str, Any] = {}
    for name, form in attributes.items():
        given = value.get(name)
        if given is not None:
            found[name] = cedar_value(form, given, f"{path}.{name}")
        elif form.get("required", True):
            raise Unfit(f"`{path}.{name}` is missing")
    return found


def _decimal(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unfit(f"`{path}` is no number")
    try:
        exact = Decimal(str(value)).quantize(Decimal("0.0001"))
    except InvalidOperation:
        raise Unfit(f"`{path}` is no number with four digits behind the point") from None
    if not exact.is_finite() or abs(exact) > Decimal(1 << 63) / 10_000:
        raise Unfit(f"`{path}` is too large a number")
    return f"{exact:f}"


def _record(form: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    required = set(cast("list[str]", form.get("required", ())))
    attributes: dict[str, Any] = {}
    for name, part in cast("dict[str, Any]", form.get("properties", {})).items():
        made, optional = _type(part, root, depth + 1)
        attributes[name] = made if name in required and not optional else {**made, "required": False}
    return {"type": "Record", "attributes": attributes}


def _type(part: Any, root: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], bool]:
    """The Cedar type of a part of a schema, and whether it may be null."""
    if not isinstance(part, dict) or depth > _DEEPEST:
        return _STRING, True
    form = cast("dict[str, Any]", part)
    if "$ref" in form:
        return _type(_resolved(str(form["$ref"]), root), root, depth + 1)
    for word in ("anyOf", "oneOf"):
        if word in form:
            return _one_of(form[word], root, depth)
    if "allOf" in form and len(form["allOf"]) == 1:
        return _type(form["allOf"][0], root, depth + 1)
    kinds = form.get("type")
    if isinstance(kinds, list):
        named = cast("list[str]", kinds)
        left = [kind for kind in named if kind != "null"]
        if len(left) != 1:
            return _STRING, "null" in named
        made, _ = _type({**form, "type": left[0]}, root, depth)
        return made, "null" in named
    match kinds:
        case "integer":
            return {"type": "Long"}, False
        case "number":
            return _DECIMAL, False
        case "boolean":
            return {"type": "Boolean"}, False
        case "array":
            element, _ = _type(form.get("items"), root, depth + 1)
            return {"type": "Set", "element": element}, False
        case "object" if form.get("properties") and not form.get("additionalProperties"):
            return _record(form, root, depth), False
        case "null":
            return _STRING, True
        case _:
            return _STRING, kinds is None and "const" not in form and "enum" not in form


def _one_of(parts: Any, root: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], bool]:
    made = [_type(part, root, depth + 1) for part in cast("list[Any]", parts)]
    found = [type_ for part, (type_, _) in zip(parts, made, strict=True) if part != {"type": "null"}]
    same = bool(found) and all(each == found[0] for each in found)
    null = any(optional for _, optional in made)
    return (found[0] if same else _STRING), null


def _resolved(ref: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for name in ref.removeprefix("#/").split("/"):
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, Any]", found).get(name)
    return found
