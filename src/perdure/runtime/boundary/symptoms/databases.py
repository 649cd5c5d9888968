"""SQL: psycopg, asyncpg, sqlite3, apsw, the drivers of MySQL, and SQLAlchemy around any of them.

An error that the database replied with proves that the statement, and the transaction around it, did nothing. A
connection that broke proves nothing: the commit may have arrived.
"""

from __future__ import annotations

from typing import Any

from ....core.failures import Diagnosis, FailureClass
from .finding import Finding, Inside, Seen, attribute, in_doubt, leaf, module_of, not_done

__all__ = ["read_database"]

_PERMANENT, _TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
_OVERLOADED = FailureClass.OVERLOADED

_BROKEN = in_doubt(_TRANSIENT, "the connection to the database broke; a commit may have arrived")
_NO_CONNECTION = not_done(_TRANSIENT, "no connection to the database was made")
_BUSY = not_done(_TRANSIENT, "the database is locked by another; nothing was done")
_CONFLICT = not_done(_TRANSIENT, "it collided with another transaction and was rolled back")
_INTEGRITY = not_done(_PERMANENT, "it breaks a rule of the data, and was rolled back")
_WRONG = not_done(_PERMANENT, "the database turned the statement down, and did nothing")
_FULL = not_done(_TRANSIENT, "the database has no room; nothing was done")

STATES: dict[str, Diagnosis] = {
    "40001": _CONFLICT,
    "40P01": _CONFLICT,
    "40003": in_doubt(_TRANSIENT, "the database does not know whether the statement was completed"),
    "55P03": _BUSY,
    "57014": not_done(_TRANSIENT, "the statement was cancelled, and rolled back"),
    "57P03": _NO_CONNECTION,
    "08001": _NO_CONNECTION,
    "08004": _NO_CONNECTION,
    "25006": not_done(_TRANSIENT, "the database takes no writes now (a standby?)"),
    "53300": not_done(_OVERLOADED, "the database has no connection to give"),
    # by their first two characters
    "08": _BROKEN,
    "23": _INTEGRITY,
    "28": not_done(_PERMANENT, "the database did not accept the credential"),
    "40": _CONFLICT,
    "53": _FULL,
    "57": in_doubt(_TRANSIENT, "the database was shut down under the statement"),
    "58": in_doubt(_TRANSIENT, "the database had an error of its disk or system"),
    "XX": in_doubt(_PERMANENT, "the database had an error inside"),
}
"""SQLSTATE: PostgreSQL's documentation, appendix A."""

_SQLITE = {
    "BUSY": _BUSY,
    "LOCKED": _BUSY,
    "FULL": _FULL,
    "CONSTRAINT": _INTEGRITY,
    "IOERR": in_doubt(_TRANSIENT, "the disk failed under the database"),
    "INTERRUPT": not_done(_TRANSIENT, "the statement was interrupted, and rolled back"),
    "CANTOPEN": not_done(_PERMANENT, "the database's file cannot be opened"),
    "NOMEM": not_done(_TRANSIENT, "there is no memory for the statement"),
}
_APSW = {"IO": "IOERR", "CantOpen": "CANTOPEN", "NoMem": "NOMEM"}

_MYSQL: dict[int, Diagnosis] = {
    1040: not_done(_OVERLOADED, "the database has no connection to give"),
    1205: not_done(_TRANSIENT, "a lock was not had in time; the statement was rolled back"),
    1213: _CONFLICT,
    2002: _NO_CONNECTION,
    2003: _NO_CONNECTION,
    2006: _BROKEN,
    2013: _BROKEN,
}
"""The server's and the client's error numbers."""

_DRIVERS = frozenset(
    {
        "psycopg",
        "psycopg2",
        "psycopg_pool",
        "asyncpg",
        "sqlite3",
        "apsw",
        "pymysql",
        "mysql",
        "MySQLdb",
        "asyncmy",
    }
    | {"aiosqlite", "oracledb", "pyodbc", "sqlalchemy"}
)

_DB_API = {  # PEP 249
    "IntegrityError": _INTEGRITY,
    "DataError": _WRONG,
    "ProgrammingError": _WRONG,
    "NotSupportedError": _WRONG,
    "OperationalError": _BROKEN,
    "InterfaceError": _BROKEN,
}


def read_database(seen: Seen) -> Finding | None:
    """Errors of databases' drivers; None where it is none."""
    packages = {module_of(name) for name in seen.names}
    if not packages & _DRIVERS:
        return None
    error = seen.error
    if "sqlalchemy" in packages:
        if "TimeoutError" in map(leaf, seen.names):
            return not_done(_TRANSIENT, "no connection of the pool was free, so nothing was sent")
        orig: Any = attribute(error, "orig")
        if isinstance(orig, BaseException):
            return Inside(orig, _by_name(seen) or _BROKEN)
        return _by_name(seen) or in_doubt(_PERMANENT, "the database's library turned it down")
    state = attribute(error, "sqlstate", "pgcode")
    if isinstance(state, str) and len(state) == 5:
        known = STATES.get(state) or STATES.get(state[:2]) or _WRONG
        return Diagnosis(known.failure, known.not_sent, None, f"SQLSTATE {state}: {known.why}")
    if "sqlite3" in packages or "apsw" in packages:
        return _sqlite(seen)
    if error.args and type(error.args[0]) is int and error.args[0] in _MYSQL:
        return _MYSQL[error.args[0]]
    if leaf(seen.name) in ("ConnectionTimeout", "PoolTimeout", "PoolClosed", "TooManyRequests"):
        return not_done(_TRANSIENT, "no connection to the database was had, so nothing was sent")
    said = str(error)
    if said.startswith(("connection failed", "connection timeout expired", "[Errno")) or (
        "the connection is closed" in said
    ):
        return _NO_CONNECTION
    return _by_name(seen) or in_doubt(_PERMANENT, "the database's driver turned it down")


def _by_name(seen: Seen) -> Diagnosis | None:
    return next((_DB_API[leaf(name)] for name in seen.names if leaf(name) in _DB_API), None)


def _sqlite(seen: Seen) -> Diagnosis:
    """By the result code's name: `sqlite_errorname` of sqlite3, the type's name of apsw."""
    name = attribute(seen.error, "sqlite_errorname")
    said = str(seen.error)
    if not isinstance(name, str):
        own = next((leaf(n).removesuffix("Error") for n in seen.names if module_of(n) == "apsw"), "")
        name = f"SQLITE_{_APSW.get(own, own.upper())}"
        if " is locked" in said:
            name = "SQLITE_BUSY"
    primary = name.split("_")[1] if "_" in name else name
    return _SQLITE.get(primary) or (_INTEGRITY if "IntegrityError" in map(leaf, seen.names) else _WRONG)
