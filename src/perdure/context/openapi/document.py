"""An OpenAPI document: read, bounded, found valid. It refers to nothing outside of itself.

What a document says is somebody else's words. A reference to another file or address would be read by whoever loads the
document, with their rights and from their network, and could change without the document; so there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from ...core.errors import ConfigError

__all__ = ["Document", "table"]

MOST_BYTES = 20_000_000
_MOST_NODES = 2_000_000
"""A few lines of YAML can stand for more than a machine holds: an alias of aliases of aliases."""
_DEEPEST = 200


class Document:
    """One document. Raises `ConfigError` where it is none, is too large, or refers to something outside."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        if len(data) > MOST_BYTES:
            raise self._unusable(f"it has {len(data):,} bytes, and may have {MOST_BYTES:,}")
        self._nodes = 0
        told = self._plain(_read(self, data), 0)
        version = table(told).get("openapi")
        if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
            raise self._unusable(
                f"its version is `{str(version)[:20]}`: OpenAPI 3.0 and 3.1 are read"
                if version is not None
                else "it says no version (`openapi: 3.1.0`)"
            )
        self.root: dict[str, Any] = told
        self.old = version.startswith("3.0.")
        """of 3.0, whose schemas are not quite JSON schemas"""

    def check(self) -> None:
        """Whether it is as OpenAPI says, by its own schema. Slow for large documents. Raises `ConfigError`."""
        from jsonschema_path import SchemaPath
        from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

        kind = OpenAPIV30SpecValidator if self.old else OpenAPIV31SpecValidator
        checked = kind(SchemaPath.from_dict(self.root, handlers={}))
        first = next(iter(checked.iter_errors()), None)
        if first is not None:
            at = "/".join(str(part) for part in getattr(first, "absolute_path", ()))
            raise self._unusable(
                f"{str(getattr(first, 'message', first))[:300]}" + (f" (at `{at[:200]}`)" if at else "")
            )

    def resolved(self, value: Any) -> Any:
        """What a reference refers to, at last; anything else as it is. Raises `ConfigError`."""
        seen: set[str] = set()
        while isinstance(ref := table(value).get("$ref"), str):
            if ref in seen:
                raise self._unusable(f"`{ref[:200]}` refers to itself")
            seen.add(ref)
            value = self.at(ref)
        return value

    def at(self, ref: str) -> Any:
        """What stands at a reference within the document. Raises `ConfigError`."""
        from referencing.exceptions import Unresolvable

        try:
            return self._resolver.lookup(ref).contents
        except (Unresolvable, ValueError) as error:
            raise self._unusable(f"`{ref[:200]}` refers to nothing in it") from error

    @cached_property
    def _resolver(self) -> Any:
        from referencing import Registry, Resource
        from referencing.jsonschema import DRAFT202012

        whole: Resource[Any] = Resource(contents=self.root, specification=DRAFT202012)
        return Registry[Any]().with_resource("", whole).resolver()  # it has nothing to fetch others with

    def _plain(self, value: Any, depth: int) -> Any:
        """The same as JSON: names are texts, and nothing refers to the outside."""
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > _DEEPEST:
            raise self._unusable("it is too large, or too deep, once its aliases are written out")
        if isinstance(value, dict):
            made: dict[str, Any] = {}
            for name, inner in cast("Mapping[Any, Any]", value).items():
                if name == "$ref" and isinstance(inner, str) and not inner.startswith("#"):
                    raise self._unusable(
                        f"it refers to `{inner[:200]}`, which is outside of it: bundle it into one file first"
                    )
                made[str(name)] = self._plain(inner, depth + 1)
            return made
        if isinstance(value, list):
            return [self._plain(inner, depth + 1) for inner in cast("list[Any]", value)]
        return value if isinstance(value, str | int | float | bool) or value is None else str(value)

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(f"OpenAPI document `{self.name}` cannot be used: {why}")


def table(value: Any) -> dict[str, Any]:
    """The value, if it is an object; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _read(document: Document, data: bytes) -> Any:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"OpenAPI document `{document.name}` cannot be used: it is not UTF-8") from error
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"OpenAPI document `{document.name}` cannot be used: it is not JSON: {error}"
            ) from error
    import yaml

    try:
        return yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(
            f"OpenAPI document `{document.name}` cannot be used: it is not YAML: {str(error)[:300]}"
        ) from error


def _loader() -> Any:
    """YAML as JSON has it: no dates, no objects."""
    import yaml

    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    made: Any = type("Plain", (safe,), {})
    made.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in safe.yaml_implicit_resolvers.items()
    }
    return made
