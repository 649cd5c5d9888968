"""Whether a JSON value fits a JSON schema of the kind that pydantic writes, and what does not, in words for a human.

Whoever answers a question is told at once what is wrong, where the type itself is not at hand: in another process. Not
a validator of everything: keywords that it does not know let pass, and the run checks with the type itself. See JSON
Schema 2020-12, the vocabularies `applicator` and `validation`.
"""

from __future__ import annotations

import operator
import re
from typing import Any, cast

__all__ = ["misfits"]

_MOST = 5
_DEEPEST = 40

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def misfits(schema: Any, value: Any) -> list[str]:
    """What is wrong with `value`, at most five things; empty where it fits."""
    found: list[str] = []
    _look(schema, value, "", schema, found, 0)
    return found[:_MOST]


def _look(schema: Any, value: Any, path: str, root: Any, found: list[str], depth: int) -> None:
    if not isinstance(schema, dict) or depth > _DEEPEST or len(found) >= _MOST:
        return
    form = cast("dict[str, Any]", schema)
    if "$ref" in form:
        _look(_resolved(form["$ref"], root), value, path, root, found, depth + 1)
        return
    for word in ("anyOf", "oneOf"):
        if word in form:
            _one_of(form[word], value, path, root, found, depth)
            return
    for part in form.get("allOf", ()):
        _look(part, value, path, root, found, depth + 1)
    at = f"`{path}`: " if path else ""
    shown = repr(value)[:80]
    if "const" in form and value != form["const"]:
        found.append(f"{at}must be `{form['const']}`, and is `{shown}`")
    if "enum" in form and value not in form["enum"]:
        found.append(f"{at}must be one of {', '.join(f'`{c}`' for c in form['enum'])}, and is `{shown}`")
        return
    kind = form.get("type")
    if isinstance(kind, str) and not _is(kind, value):
        found.append(f"{at}must be of type {kind}, and is `{shown}`")
        return
    if isinstance(value, str):
        _text(form, value, at, found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(form, value, at, found)
    elif isinstance(value, list):
        _array(form, cast("list[Any]", value), path, root, found, depth)
    elif isinstance(value, dict):
        _object(form, cast("dict[str, Any]", value), path, root, found, depth)


def _one_of(parts: list[Any], value: Any, path: str, root: Any, found: list[str], depth: int) -> None:
    nearest: list[str] | None = None
    for part in parts:
        tried: list[str] = []
        _look(part, value, path, root, tried, depth + 1)
        if not tried:
            return
        if nearest is None or (len(tried) < len(nearest) and value is not None):
            nearest = tried
    found += nearest or []


def _is(kind: str, value: Any) -> bool:
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _TYPES.get(kind, (object,)))


def _text(form: dict[str, Any], value: str, at: str, found: list[str]) -> None:
    if len(value) < form.get("minLength", 0):
        found.append(f"{at}must have at least {form['minLength']} characters")
    if len(value) > form.get("maxLength", len(value)):
        found.append(f"{at}must have at most {form['maxLength']} characters")
    pattern = form.get("pattern")
    if isinstance(pattern, str) and len(value) < 10_000:
        try:
            fits = re.search(pattern, value) is not None
        except re.error:  # a pattern in another dialect
            return
        if not fits:
            found.append(f"{at}`{value[:80]}` does not match `{pattern}`")


def _number(form: dict[str, Any], value: float, at: str, found: list[str]) -> None:
    for word, compare, said in (
        ("minimum", operator.ge, "at least"),
        ("maximum", operator.le, "at most"),
        ("exclusiveMinimum", operator.gt, "above"),
        ("exclusiveMaximum", operator.lt, "below"),
    ):
        bound = form.get(word)
        if bound is not None and not compare(value, bound):
            found.append(f"{at}must be {said} {bound}, and is `{value}`")


def _array(
    form: dict[str, Any], value: list[Any], path: str, root: Any, found: list[str], depth: int
) -> None:
    at = f"`{path}`: " if path else ""
    if len(value) < form.get("minItems", 0):
        found.append(f"{at}must have at least {form['minItems']} items")
    if len(value) > form.get("maxItems", len(value)):
        found.append(f"{at}must have at most {form['maxItems']} items")
    first: list[Any] = form.get("prefixItems", [])
    for i, item in enumerate(value):
        _look(first[i] if i < len(first) else form.get("items"), item, f"{path}[{i}]", root, found, depth + 1)


def _object(
    form: dict[str, Any], value: dict[str, Any], path: str, root: Any, found: list[str], depth: int
) -> None:
    at = f"`{path}`: " if path else ""
    properties: dict[str, Any] = form.get("properties", {})
    found += [f"{at}`{name}` is missing" for name in form.get("required", ()) if name not in value]
    more = form.get("additionalProperties", True)
    for name, item in value.items():
        below = f"{path}.{name}" if path else name
        if name in properties:
            _look(properties[name], item, below, root, found, depth + 1)
        elif more is False:
            known = ", ".join(f"`{n}`" for n in properties) or "none"
            found.append(f"{at}there is no `{name}` (there are: {known})")
        else:
            _look(more, item, below, root, found, depth + 1)


def _resolved(reference: Any, root: Any) -> Any:
    found = root
    for part in str(reference).removeprefix("#/").split("/"):
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, Any]", found).get(part.replace("~1", "/").replace("~0", "~"))
    return found
