"""Queries that somebody has written beforehand: their parameters typed, their values never part of their text."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ...core.database_settings import ParameterSettings, QuerySettings
from ...core.errors import ConfigError, Refused
from ...core.json_form import misfits
from .selects import Dialect

__all__ = ["checked", "form_of", "numbered", "values_of"]

_FORMS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "decimal": {"type": "string", "description": "a decimal number"},
    "text": {"type": "string"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
}
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.Command, exp.DDL)


def form_of(query: QuerySettings) -> dict[str, Any]:
    """JSON schema of its parameters."""
    properties: dict[str, Any] = {}
    for name, told in query.typed().items():
        form = dict(_FORMS[told.type])
        if told.about is not None:
            form["description"] = told.about
        if told.choices:
            form["enum"] = list(told.choices)
        properties[name] = form
    required = [name for name, told in query.typed().items() if not told.optional]
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": required} if required else made


def checked(database: str, name: str, query: QuerySettings, dialect: Dialect) -> None:
    """Whether it is one query that changes nothing, with the parameters that it names. Raises `ConfigError`."""

    def unusable(why: str) -> ConfigError:
        return ConfigError(f"`[database.{database}.queries.{name}]`: {why}")

    try:
        found = [
            statement for statement in sqlglot.parse(query.sql, dialect=dialect) if statement is not None
        ]
    except SqlglotError as error:
        raise unusable(f"its SQL was not understood: {' '.join(str(error).split())[:200]}") from error
    if len(found) != 1 or not isinstance(found[0], exp.Query) or any(found[0].find_all(*_CHANGES)):
        raise unusable("its SQL is not one SELECT that changes nothing")
    named = {str(p.this) for p in found[0].find_all(exp.Placeholder) if p.this}
    for extra in sorted(named ^ set(query.parameters)):
        raise unusable(
            f"`:{extra}` is not among its `parameters`"
            if extra in named
            else f"no `:{extra}` stands in its SQL"
        )


def values_of(name: str, query: QuerySettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of its parameters, in Python's types. Raises `Refused` where one does not fit."""
    unfit = misfits(form_of(query), dict(given))
    if unfit:
        raise Refused(f"`{name}` was not run: {'; '.join(unfit)}")
    return {p: _value(name, p, told, given.get(p)) for p, told in query.typed().items()}


def _value(name: str, parameter: str, told: ParameterSettings, given: Any) -> Any:
    if given is None:
        return None
    try:
        match told.type:
            case "decimal":
                return Decimal(given)
            case "date":
                return dt.date.fromisoformat(given)
            case "datetime":
                return dt.datetime.fromisoformat(given)
            case "uuid":
                return uuid.UUID(given)
            case "number":
                return float(given)
            case _:
                return given
    except (ValueError, InvalidOperation) as error:
        raise Refused(
            f"`{name}` was not run: `{parameter}` is no {told.type}: `{str(given)[:80]}`"
        ) from error


def numbered(sql: str, names: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The SQL with `$1` for its first parameter and so on, and the parameters in that order."""
    tokens: list[Any] = list(sqlglot.tokenize(sql, dialect="postgres"))
    order: list[str] = []
    made, end = "", 0
    for colon, name in pairwise(tokens):
        if colon.text == ":" and name.start == colon.end + 1 and name.text in names:
            if name.text not in order:
                order.append(name.text)
            made += f"{sql[end : colon.start]}${order.index(name.text) + 1}"
            end = name.end + 1
    return made + sql[end:], order
