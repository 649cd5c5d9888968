"""Schemas of an OpenAPI document as JSON schemas that stand alone: what they refer to goes along, in `$defs`.

A reference stays one, for a schema may refer to itself. Those of OpenAPI 3.0 are a dialect of their own (`nullable`,
`exclusiveMinimum: true`): they are put into the words of JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from .document import Document, table

__all__ = ["Forms"]

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
    | {"unevaluatedProperties", "unevaluatedItems"}
)
_LEFT_OUT = frozenset(
    {
        "example",
        "xml",
        "externalDocs",
        "discriminator",
        "$id",
        "$schema",
        "$anchor",
        "$comment",
        "$dynamicAnchor",
    }
)
"""They say nothing of which values fit; a name of a schema's own would give its references another meaning."""


class Forms:
    """Makes the schemas of one form: a request's leaves out what only answers have, and the other way round."""

    def __init__(self, document: Document, side: Literal["request", "answer"]) -> None:
        self._document = document
        self._absent = "readOnly" if side == "request" else "writeOnly"
        self._names: dict[str, str] = {}
        self._defs: dict[str, Any] = {}

    def made(self, schema: Any) -> dict[str, Any]:
        """A schema, whose references are into `defs`. Raises `ConfigError` for one that leads nowhere."""
        return table(self._schema(schema))

    def whole(self, form: dict[str, Any]) -> dict[str, Any]:
        """A form with all that those which were made refer to."""
        return {**form, "$defs": dict(sorted(self._defs.items()))} if self._defs else form

    def _schema(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema  # `true` and `false` are schemas, too
        told = cast("dict[str, Any]", schema)
        ref = told.get("$ref")
        if isinstance(ref, str):
            there = {"$ref": f"#/$defs/{self._named(ref)}"}
            # of 3.0 what stands beside a reference says nothing
            return there if self._document.old else {**self._walked({**told, "$ref": None}), **there}
        made = self._walked(told)
        return _modern(made, told) if self._document.old else made

    def _walked(self, told: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for word, value in told.items():
            if word in _LEFT_OUT or word.startswith("x-") or word == "$ref":
                continue
            if word in _MAPS and isinstance(value, dict):
                made[word] = {n: self._schema(s) for n, s in cast("dict[str, Any]", value).items()}
            elif word in _LISTS and isinstance(value, list):
                made[word] = [self._schema(s) for s in cast("list[Any]", value)]
            elif word in _SINGLE:
                made[word] = self._schema(value)
            else:
                made[word] = value
        self._leave_out(told, made)
        return made

    def _leave_out(self, told: dict[str, Any], made: dict[str, Any]) -> None:
        """Properties that are not for this side."""
        absent = {
            name
            for name, schema in table(told.get("properties")).items()
            if table(self._document.resolved(schema)).get(self._absent) is True
        }
        if absent:
            made["properties"] = {n: s for n, s in made["properties"].items() if n not in absent}
            made["required"] = [name for name in made.get("required", ()) if name not in absent]

    def _named(self, ref: str) -> str:
        if ref not in self._names:
            name = bare = re.sub(r"[^A-Za-z0-9_.-]", "_", ref.rpartition("/")[2]) or "schema"
            number = 1
            while name in self._defs:
                number += 1
                name = f"{bare}_{number}"
            self._names[ref] = name
            self._defs[name] = {}  # it may refer to itself
            self._defs[name] = self._schema(self._document.at(ref))
        return self._names[ref]


def _modern(made: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as JSON Schema has it."""
    nullable = made.pop("nullable", False) is True
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        said = made.get(exclusive)
        if isinstance(said, bool):
            del made[exclusive]
            if said and bound in made:
                made[exclusive] = made.pop(bound)
    if not nullable:
        return made
    if isinstance(made.get("type"), str):
        if "enum" in made and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return {**made, "type": [made["type"], "null"]}
    return {"anyOf": [made, {"type": "null"}]} if made else made
