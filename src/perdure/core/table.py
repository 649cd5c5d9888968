"""A table of `perdure.toml`, also where it is given to `App(...)` as a mapping: what is wrong is named alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import ConfigError

__all__ = ["read_table", "shown_input"]

_SECRET = re.compile(r"secret|passw|^(api_?)?key$|^token$")

M = TypeVar("M", bound=BaseModel)


def shown_input(error: ErrorDetails) -> object:
    """What was given for a setting, for a message: never what may be a secret."""
    misspelt = error["type"] == "extra_forbidden" and bool({"providers", "sign_in"} & set(error["loc"]))
    # What a program is handed may be a secret under any name, also under a misspelt one.
    misread = error["type"] == "extra_forbidden" or bool({"env", "headers"} & set(error["loc"]))
    handed = bool({"mcp", "openapi"} & set(error["loc"])) and misread
    address = {"database", "url"} <= set(error["loc"])  # which may hold a password
    secret = misspelt or handed or address or any(_SECRET.search(str(part)) for part in error["loc"])
    given = error.get("input")
    if isinstance(given, str):  # an address may hold a password
        given = re.sub(r"(://[^:/@?\s]*):[^?\s]*@", r"\1:***@", given)
        given = re.sub(r"(\bpassword)=[^&\s]*", r"\1=***", given)
    return "***" if secret else given


def read_table(kind: type[M], values: Mapping[str, Any] | M, *, where: str) -> M:
    """From the values of a table. Raises `ConfigError` that names the setting."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        setting = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"`{setting}` = `{shown_input(first)}` ({where}): {first['msg']}") from error
