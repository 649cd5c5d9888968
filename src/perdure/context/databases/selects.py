"""Queries of an agent's own: one SELECT over listed tables and columns, written anew from what was understood of it.

    text ──► parsed: one query ──► each piece known ──► each name resolved against the listed columns ──► written anew

What a database gets is never the agent's text. Each table in it is a subquery of its listed columns alone, so that
whole rows, system columns, renamed columns and natural joins reach no other. A piece that is not known here is refused:
new syntax is not let through because nobody thought of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from ...core.errors import Refused

__all__ = ["FUNCTIONS", "Dialect", "admitted"]

Dialect = Literal["sqlite", "postgres"]

LONGEST = 20_000
_MOST_PIECES = 5_000

_SHAPE: frozenset[type[Any]] = frozenset(
    {
        *(
            exp.Select,
            exp.Union,
            exp.Intersect,
            exp.Except,
            exp.With,
            exp.CTE,
            exp.Subquery,
            exp.From,
            exp.Join,
        ),
        *(exp.Table, exp.TableAlias, exp.Column, exp.Identifier, exp.Alias, exp.Star, exp.Where, exp.Group),
        *(
            exp.Having,
            exp.Order,
            exp.Ordered,
            exp.Limit,
            exp.Offset,
            exp.Fetch,
            exp.Distinct,
            exp.Paren,
            exp.Tuple,
        ),
        *(
            exp.Literal,
            exp.Boolean,
            exp.Null,
            exp.Cast,
            exp.DataType,
            exp.Interval,
            exp.Var,
            exp.Case,
            exp.If,
        ),
        *(
            exp.And,
            exp.Or,
            exp.Not,
            exp.EQ,
            exp.NEQ,
            exp.GT,
            exp.GTE,
            exp.LT,
            exp.LTE,
            exp.Is,
            exp.In,
            exp.Between,
        ),
        *(exp.NullSafeEQ, exp.NullSafeNEQ, exp.Exists, exp.Any, exp.All, exp.Like, exp.ILike, exp.Escape),
        *(
            exp.Add,
            exp.Sub,
            exp.Mul,
            exp.Div,
            exp.Mod,
            exp.Neg,
            exp.DPipe,
            exp.Filter,
            exp.Window,
            exp.WindowSpec,
        ),
    }
)
"""What a query may be made of, beside functions."""

_NAMES = """
count sum avg min max total abs round ceil ceiling floor sign coalesce nullif greatest least lower upper length
char_length substr substring trim ltrim rtrim left right replace instr strpos concat date time datetime julianday
strftime unixepoch date_trunc date_part extract age now current_date current_timestamp current_time row_number rank
dense_rank lag lead first_value last_value ntile
"""
FUNCTIONS = frozenset(_NAMES.split())
"""Those that read nothing but their arguments, and make nothing large of something small."""

_SAME: dict[type[Any], str] = {
    exp.TimestampTrunc: "date_trunc",
    exp.DateTrunc: "date_trunc",
    exp.StrPosition: "strpos",
    exp.TimeToStr: "strftime",
    exp.TsOrDsToTimestamp: "datetime",
}
"""Functions that the parser calls by names of its own."""

_KINDS = """
INT BIGINT SMALLINT TINYINT DECIMAL FLOAT DOUBLE TEXT VARCHAR CHAR BOOLEAN DATE TIME TIMESTAMP TIMESTAMPTZ DATETIME
UUID INTERVAL
"""
_TYPES = frozenset(_KINDS.split())
"""To which a value may be cast: no `regclass`, which looks names up in the catalog."""

logging.getLogger("sqlglot").setLevel(logging.ERROR)


def admitted(
    text: str, *, dialect: Dialect, tables: Mapping[str, Sequence[str]], functions: Sequence[str] = ()
) -> str:
    """The query that may be run for a text. Raises `Refused`, in words for whoever wrote it.

    `tables`: the columns that may be read of each, by `schema.name` (PostgreSQL) or `name`.
    """
    if len(text) > LONGEST:
        raise Refused(f"the query has {len(text):,} characters, and may have {LONGEST:,}")
    known = {name.lower(): name for name in tables}
    try:
        found = sqlglot.parse(text, dialect=dialect)
        statements = [statement for statement in found if statement is not None]
        if len(statements) != 1 or not isinstance(statements[0], exp.Select | exp.SetOperation):
            raise Refused("write one SELECT, and nothing else")
        query: exp.Expr = statements[0]
        _look(query, frozenset(f.lower() for f in functions), dialect)
        _places(query, known, dialect)
        qualified = qualify(
            query,
            dialect=dialect,
            schema=_nested(tables, dialect),
            validate_qualify_columns=True,
            quote_identifiers=True,
        )
        _look(qualified, frozenset(f.lower() for f in functions), dialect)
        _fence(qualified, tables, known, dialect)
        return qualified.sql(dialect=dialect, comments=False)
    except RecursionError as error:
        raise Refused("the query is nested too deeply: write a simpler one") from error
    except SqlglotError as error:
        raise Refused(f"the query was not understood: {_words(error)}. {_there(tables)}") from error


def _look(query: exp.Expr, more: frozenset[str], dialect: Dialect) -> None:
    """Whether it is made of known pieces."""
    for number, piece in enumerate(query.walk()):
        if number > _MOST_PIECES:
            raise Refused("the query is too long: write a simpler one")
        kind = type(piece)
        if kind is exp.With and piece.args.get("recursive"):
            raise Refused("`WITH RECURSIVE` is not allowed here")
        if kind is exp.Star and not isinstance(piece.parent, exp.Count | exp.Select | exp.Column):
            raise Refused("`*` stands where it cannot: list the columns")
        if kind is exp.DataType:
            if piece.this.name not in _TYPES or piece.args.get("nested"):
                raise Refused(f"a cast to `{piece.sql(dialect=dialect)[:80]}` is not allowed here")
            continue
        if kind is exp.Table and not isinstance(piece.this, exp.Identifier):
            raise Refused(f"`{piece.sql(dialect=dialect)[:80]}` is no table")
        if kind is exp.TableAlias and piece.args.get("columns") and not isinstance(piece.parent, exp.CTE):
            raise Refused("columns are not renamed with their table: write `AS` beside each")
        if kind is exp.Join and piece.args.get("method"):
            raise Refused("say by which columns tables are joined (`ON`), and not `NATURAL` or the like")
        if kind in _SHAPE:
            continue
        if isinstance(piece, exp.Func):
            name = piece.name if kind is exp.Anonymous else _SAME.get(kind) or piece.sql_name()
            if name.lower() in FUNCTIONS or name.lower() in more:
                continue
            raise Refused(f"the function `{name.lower()[:80]}` is not allowed here")
        raise Refused(f"`{piece.sql(dialect=dialect)[:80]}` is not allowed here ({kind.__name__})")


def _places(query: exp.Expr, known: Mapping[str, str], dialect: Dialect) -> None:
    """Give each table the schema under which it is listed, so that no other one can be meant by its name."""
    for cte in query.find_all(exp.CTE):
        name = cte.alias.lower()
        if any(name == full.rpartition(".")[2] for full in known):
            raise Refused(f"`WITH {cte.alias[:60]}` has the name of a table: call it otherwise")
    for scope in traverse_scope(query):
        for table in scope.tables:
            source = scope.sources.get(table.alias_or_name)
            if source is not table or table.args.get("catalog"):
                continue
            if not table.db and dialect == "postgres":
                table.set("db", exp.to_identifier("public"))


def _nested(tables: Mapping[str, Sequence[str]], dialect: Dialect) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, columns in tables.items():
        schema, _, bare = name.rpartition(".")
        form = dict.fromkeys(columns, "unknown")
        if dialect == "postgres":
            made.setdefault(schema or "public", {})[bare] = form
        else:
            made[bare] = form
    return made


def _fence(
    query: exp.Expr, tables: Mapping[str, Sequence[str]], known: Mapping[str, str], dialect: Dialect
) -> None:
    """Put a subquery of its listed columns in the place of each table."""
    seen: set[int] = set()
    found: list[exp.Table] = []
    for scope in traverse_scope(query):
        for table in scope.tables:
            seen.add(id(table))
            if scope.sources.get(table.alias_or_name) is table:
                found.append(table)
    if any(id(table) not in seen for table in query.find_all(exp.Table)):
        raise Refused("a table stands where it was not understood: write a simpler query")
    for column in query.find_all(exp.Column):
        within = column.find_ancestor(exp.Query)
        if not column.table and (within is None or column.name not in within.named_selects):
            # what the parser did not look for, the database would
            raise Refused(f"there is no column `{column.name[:60]}` here. {_there(tables)}")
    for table in found:
        place = table.db or ("public" if dialect == "postgres" else "")
        full = f"{place}.{table.name}" if dialect == "postgres" else table.name
        listed = known.get(full.lower()) or (
            known.get(table.name.lower()) if place in ("", "public") else None
        )
        if listed is None or table.args.get("catalog") or (place and dialect == "sqlite"):
            raise Refused(
                f"there is no table `{table.sql(dialect=dialect, comments=False)[:80]}` here. {_there(tables)}"
            )
        inner = exp.select(*(_column(c) for c in tables[listed])).from_(
            exp.table_(
                exp.to_identifier(listed.rpartition(".")[2], quoted=True),
                db=exp.to_identifier(place, quoted=True) if place else None,
            )
        )
        table.replace(inner.subquery(exp.to_identifier(table.alias_or_name, quoted=True)))


def _column(name: str) -> exp.Expr:
    """A column under the name that the query knows it by: names are the same in whichever case."""
    column = exp.column(exp.to_identifier(name, quoted=True))
    return column if name == name.lower() else exp.alias_(column, name.lower(), quoted=True)


def _there(tables: Mapping[str, Sequence[str]]) -> str:
    return (
        "There are: " + "; ".join(f"{name}({', '.join(columns)})" for name, columns in tables.items())[:2000]
    )


def _words(error: SqlglotError) -> str:
    said = str(error).replace("\x1b[4m", "").replace("\x1b[0m", "")
    return " ".join(said.split())[:200].rstrip(".")
