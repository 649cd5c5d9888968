"""SQL databases that agents may ask: what is there, queries that somebody has written, and SELECTs of their own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..context import Definition
from ..context.definition import offered_name
from ..core.database_settings import DatabaseSettings
from ..core.errors import ConfigError, NotDone, PerdureError, Refused
from ..runtime import Run, Tool, terms_of
from .reviewed import OfferedTools

if TYPE_CHECKING:
    from ..context.databases import DatabaseResult, TableTold
    from ..db.reading import Reader
    from .app import App

__all__ = ["AppDatabases"]

log = logging.getLogger("perdure.databases")

_SCHEMA, _QUERY = "schema", "query"
_SQL = {"sql": {"type": "string", "description": "one SELECT"}}


class AppDatabases:
    """The databases of an app. What stands in the settings was written by whoever owns them: nobody reviews it."""

    def __init__(self, app: App, settings: Mapping[str, DatabaseSettings]) -> None:
        self._app = app
        self.settings = dict(settings)
        """by name; set it before the first use"""
        self._readers: dict[str, Reader] = {}
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._warned: set[str] = set()

    async def tools(self, run: Run, database: str) -> OfferedTools:
        """Its tools, for one run: `tools=[*await app.databases.tools(run, "crm")]`.

        A step of the run, which records them: replay offers the same ones. The database is not asked. Raises
        `ConfigError` for one that is not set up, and where a query of the settings cannot be used.
        """
        offered = self.definitions(database)

        async def now() -> list[Definition]:
            return [offered[name] for name in sorted(offered)]

        definitions: list[Definition] = await run.step(f"database {database}", now)
        made = {d.name: self._tool(database, d) for d in definitions}
        return OfferedTools(f"database `{database}`", made, review=f"perdure databases check {database}")

    def definitions(self, database: str) -> dict[str, Definition]:
        """What its tools are, by the settings. Raises `ConfigError`."""
        from ..context.databases import checked, form_of

        settings, reader = self._known(database), self._reader(database)
        about = f" {settings.about}" if settings.about else ""
        found: dict[str, Definition] = {}
        if settings.tables:
            told = {
                name: "*" if columns == "*" else list(columns) for name, columns in settings.tables.items()
            }
            found[_SCHEMA] = Definition(
                name=_SCHEMA,
                description=f"The tables and columns of the database `{database}` that may be read.{about}",
                arguments={"type": "object", "properties": {}, "additionalProperties": False},
                annotations={"tables": told},
            )
            dialect = {"sqlite": "SQLite", "postgres": "PostgreSQL"}[reader.dialect]
            found[_QUERY] = Definition(
                name=_QUERY,
                description=(
                    f"Read the database `{database}` by one SELECT ({dialect}), of at most {settings.rows} rows."
                    f"{about} `{offered_name(database, _SCHEMA)}` tells what is there."
                ),
                arguments={
                    "type": "object",
                    "properties": _SQL,
                    "required": ["sql"],
                    "additionalProperties": False,
                },
                annotations={"tables": told, "functions": sorted(settings.functions)},
            )
        for name, query in settings.queries.items():
            checked(database, name, query, reader.dialect)
            found[name] = Definition(
                name=name, description=query.about, arguments=form_of(query), annotations={"sql": query.sql}
            )
        return found

    async def warnings(self, database: str) -> list[str]:
        """What is not as it should be: tables that are not there, an account that could do more than read.

        Raises `ConfigError`, and `NotDone` where the database cannot be reached.
        """
        settings, reader = self._known(database), self._reader(database)
        self.definitions(database)
        seconds = settings.timeout.total_seconds()
        async with _reaching(database):
            found = await reader.warnings(seconds=seconds)
            there = await reader.tables(settings.tables, seconds=seconds)
        for name, listed in settings.tables.items():
            if name not in there:
                found.append(f"there is no table `{name}`, or none that its account may see")
            elif listed != "*":
                have = {column.name.lower() for column in there[name]}
                found += [f"table `{name}` has no column `{c}`" for c in listed if c.lower() not in have]
        return found

    # calls -----------------------------------------------------------------------------------------------------

    def _tool(self, database: str, definition: Definition) -> Tool[..., Any]:
        from ..context.databases import DatabaseResult, TableTold

        settings = self._known(database)

        async def schema() -> list[TableTold]:
            self._unchanged(database, definition)
            return [TableTold(name=n, columns=c) for n, c in (await self._tables(database)).items()]

        async def query(sql: str) -> DatabaseResult:
            self._unchanged(database, definition)
            return await self._select(database, sql)

        async def prepared(**arguments: Any) -> DatabaseResult:
            self._unchanged(database, definition)
            return await self._run(database, definition.name, arguments)

        function: Callable[..., Any] = {_SCHEMA: schema, _QUERY: query}.get(definition.name, prepared)
        function.__annotations__["return"] = list[TableTold] if definition.name == _SCHEMA else DatabaseResult
        function.__doc__ = definition.description
        name = offered_name(database, definition.name, called="database")
        if name in self._app.tools:
            raise ConfigError(
                f"two tools have the name `{name}`: one of the app, and one of database `{database}`"
            )
        return Tool(
            function,
            name=name,
            effect="read",
            timeout=settings.timeout * 2,  # the database itself ends a query; this is for one that does not
            terms=terms_of(labels=["trusted" if settings.trusted else "untrusted", *settings.labels]),
            form=definition.arguments,
        )

    async def _select(self, database: str, sql: str) -> DatabaseResult:
        from ..context.databases import admitted

        settings, reader = self._known(database), self._reader(database)
        tables = {name: [c.name for c in columns] for name, columns in (await self._tables(database)).items()}
        text = admitted(sql, dialect=reader.dialect, tables=tables, functions=settings.functions)
        return await self._asked(database, text, {}, tables)

    async def _run(self, database: str, name: str, arguments: Mapping[str, Any]) -> DatabaseResult:
        from ..context.databases import values_of

        query = self._known(database).queries[name]
        return await self._asked(database, query.sql, values_of(name, query, arguments), None)

    async def _tables(self, database: str) -> dict[str, Any]:
        settings = self._known(database)
        await self._warn(database)
        async with self._room(database), _reaching(database):
            return await self._reader(database).tables(
                settings.tables, seconds=settings.timeout.total_seconds()
            )

    async def _asked(
        self, database: str, sql: str, values: Mapping[str, Any], only: Mapping[str, list[str]] | None
    ) -> DatabaseResult:
        from ..db.reading import Limits

        settings = self._known(database)
        await self._warn(database)
        limits = Limits(settings.rows, settings.most_output, settings.timeout.total_seconds())
        async with self._room(database), _reaching(database):
            return await self._reader(database).rows(sql, values, limits=limits, only=only)

    async def _warn(self, database: str) -> None:
        """Say once of a worker what the account could do."""
        if database in self._warned:
            return
        async with _reaching(database):
            for warning in await self._reader(database).warnings(
                seconds=self._known(database).timeout.total_seconds()
            ):
                log.warning("database %s: %s", database, warning)
        self._warned.add(database)

    def _unchanged(self, database: str, offered: Definition) -> None:
        now = self.definitions(database).get(offered.name)
        if now is None or now.digest != offered.digest:
            raise Refused(
                f"`{offered.name}` of database `{database}` is not what the run was offered: the settings are others "
                "since. A new run is offered what holds now"
            )

    def _room(self, database: str) -> asyncio.Semaphore:
        return self._rooms.setdefault(database, asyncio.Semaphore(self._known(database).connections))

    def _known(self, database: str) -> DatabaseSettings:
        settings = self.settings.get(database)
        if settings is None:
            known = ", ".join(f"`{name}`" for name in sorted(self.settings)) or "none"
            raise ConfigError(
                f"there is no database `{database}` (known: {known}); say where it is in `[database.{database}]` of "
                "perdure.toml"
            )
        try:
            import sqlglot
        except ImportError as error:
            raise ConfigError('SQL databases need the extra `sql`: `pip install "perdure[sql]"`') from error
        del sqlglot
        return settings

    def _reader(self, database: str) -> Reader:
        from ..db.reading import open_reader

        if database not in self._readers:
            settings = self._known(database)
            url = settings.url
            if url.startswith("env:"):
                variable = url.removeprefix("env:")
                if variable not in os.environ:
                    raise ConfigError(
                        f"`[database.{database}]` takes its URL from the environment variable `{variable}`, which is "
                        "not set: set it for the worker"
                    )
                url = os.environ[variable]
            try:
                self._readers[database] = open_reader(url, functions=settings.functions)
            except ConfigError as error:
                raise ConfigError(f"the URL of `[database.{database}]` {error}") from None
        return self._readers[database]


@asynccontextmanager
async def _reaching(database: str) -> AsyncGenerator[None]:
    """Errors of a database, in words for whoever asked it. Nothing that failed here has changed anything."""
    try:
        yield
    except TimeoutError as error:
        raise Refused(
            f"database `{database}` did not answer in time ({error}): ask for less, or in another way"
        ) from error
    except (PerdureError, asyncio.CancelledError):
        raise
    except Exception as error:
        raise NotDone(f"database `{database}`: {' '.join(str(error).split())[:500]}") from error
