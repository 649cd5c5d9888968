"""The tables `[database.NAME]` of `perdure.toml`: SQL databases that agents may ask, and never change.

[database.crm]
url = "env:CRM_DATABASE"                       # `sqlite:///crm.db` where there is no password
tables = { customers = ["id", "name"], orders = "*" }    # what agents may read by queries of their own

[database.crm.queries.orders_of]               # what they are offered beside: a query of yours, with typed parameters
about = "The orders of one customer, the newest first."
sql = "SELECT id, total FROM orders WHERE customer = :customer ORDER BY placed DESC"
parameters = { customer = "integer" }
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from .mcp_settings import McpName
from .table import read_table

__all__ = ["DatabaseSettings", "ParameterSettings", "QuerySettings", "read_databases"]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
TableName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$")
]
"""`orders`, or with its schema `sales.orders`"""
Kind: TypeAlias = Literal["integer", "number", "decimal", "text", "boolean", "date", "datetime", "uuid"]


def _url(text: str) -> str:
    # never the value in a message: it may hold a password
    if text.startswith("env:") and len(text) > 4:
        return text
    if not text.startswith(("sqlite:///", "postgresql://")):
        raise ValueError(
            "must be `env:NAME`, an environment variable that holds the URL, or a `sqlite:///PATH` or "
            "`postgresql://USER@HOST/DATABASE` without a password"
        )
    if ":" in text.partition("://")[2].rpartition("@")[0] or "password=" in text:
        raise ValueError(
            "has a password in it: put the URL into an environment variable, and write `env:NAME`"
        )
    return text


class ParameterSettings(BaseModel):
    """A parameter of a query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Kind
    about: str | None = None
    """what a model is told of it"""
    choices: tuple[str | int, ...] = ()
    """the only values that it may have; without them any of its type"""
    optional: bool = False
    """whether it may be left out, and is NULL then"""


class QuerySettings(BaseModel):
    """A query that somebody has written, and agents may run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = Field(min_length=1)
    """what a model is told of it"""
    sql: str = Field(min_length=1)
    """one SELECT, with parameters as `:name`"""
    parameters: dict[Name, Kind | ParameterSettings] = {}

    def typed(self) -> dict[str, ParameterSettings]:
        """Its parameters, each with all that is said of it."""
        return {
            name: told if isinstance(told, ParameterSettings) else ParameterSettings(type=told)
            for name, told in self.parameters.items()
        }


class DatabaseSettings(BaseModel):
    """One database, and what of it agents may read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_url)]
    about: str | None = None
    """what models are told of it"""
    tables: dict[TableName, tuple[str, ...] | Literal["*"]] = {}
    """tables and views that agents may read by queries of their own, with their columns; without any there are only
    `queries`"""
    functions: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    """SQL functions that such queries may call, beside the harmless ones"""
    queries: dict[Name, QuerySettings] = {}
    """queries that are there by name"""
    rows: int = Field(default=200, ge=1, le=10_000)
    """of an answer"""
    most_output: int = Field(default=100_000, ge=100, le=10_000_000)
    """characters of an answer"""
    timeout: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(), le=timedelta(minutes=10))
    """of a query"""
    connections: int = Field(default=4, ge=1, le=100)
    """at once, of a worker"""
    trusted: bool = False
    """whether what stands in it counts as written by somebody who is vouched for"""
    labels: tuple[str, ...] = ()
    """what else its answers are labelled with, for policies: `personal`"""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.tables and not self.queries:
            raise ValueError("names neither `tables` nor `queries`, so there is nothing to ask it")
        taken = {"schema", "query"} & set(self.queries)
        if taken:
            raise ValueError(f"`queries.{min(taken)}`: that is what a tool is called that is there already")
        return self


class _Databases(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    database: dict[McpName, DatabaseSettings]


def read_databases(
    values: Mapping[str, DatabaseSettings | Mapping[str, Any]], *, where: str
) -> Mapping[str, DatabaseSettings]:
    """From the tables `[database.NAME]`, by name. Raises `ConfigError` that names the setting."""
    return read_table(_Databases, {"database": dict(values)}, where=where).database
