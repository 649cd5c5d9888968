"""A table of `perdure.toml`, also where it is given to `App(...)` as a mapping: what is wrong is named alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import ConfigError

__all__ = ["read_table"]

M = TypeVar("M", bound=BaseModel)


def read_table(kind: type[M], values: Mapping[str, Any] | M, *, where: str) -> M:
    """From the values of a table. Raises `ConfigError` that names the setting."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        setting = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"`{setting}` = `{first.get('input')}` ({where}): {first['msg']}") from error
