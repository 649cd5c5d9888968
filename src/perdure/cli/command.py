"""What every command has in common: the global options, the app and its store, one way to end.

A command is a function of a `Cli` and its own arguments, sync or async; it returns an exit code or None for 0.
"""

from __future__ import annotations

import asyncio
import inspect
import json as json_module
import os
import sys
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..core.errors import ConfigError, PerdureError, RunFailed, StoreUnavailable
from .outcome import Exit, exit_code

if TYPE_CHECKING:
    from rich.console import Console

    from ..app import App
    from ..core.settings import Settings

__all__ = ["Cli", "Globals", "command", "global_options", "refuse_absent", "show_error"]


@dataclass(frozen=True)
class Globals:
    """The options that may stand before or after any command."""

    config: Path | None = None
    store: str | None = None
    tenant: str | None = None
    app: str | None = None
    json: bool = False
    verbose: int = 0


def global_options(*, hidden: bool) -> dict[str, Any]:
    """The annotation of each global option, by its parameter's name."""
    panel = "Everywhere"

    def text(flag: str, metavar: str, help: str) -> Any:
        return Annotated[
            str | None,
            typer.Option(flag, metavar=metavar, help=help, hidden=hidden, rich_help_panel=panel),
        ]

    return {
        "config": Annotated[
            Path | None,
            typer.Option(
                "--config",
                metavar="PATH",
                help="Settings; `perdure.toml` here, if there is one.",
                hidden=hidden,
                rich_help_panel=panel,
            ),
        ],
        "store": text("--store", "URL", "Where journals live, before what settings and program say."),
        "tenant": text("--tenant", "NAME", "Whose runs; `default` where nothing else is set."),
        "app": text("--app", "TARGET", "The app, as `path.py:attribute` or `module:attribute`."),
        "json": Annotated[
            bool, typer.Option("--json", help="Answer in JSON, on stdout.", rich_help_panel=panel)
        ],
        "verbose": Annotated[
            int,
            typer.Option(
                "--verbose",
                "-v",
                count=True,
                show_default=False,
                help="Say more; show tracebacks.",
                hidden=hidden,
                rich_help_panel=panel,
            ),
        ],
    }


class Cli:
    """One invocation: what was asked for globally, and where answers go."""

    def __init__(self, given: Globals) -> None:
        self.given = given
        self.json = given.json
        self.verbose = given.verbose

    # settings, app, store --------------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """`perdure.toml` and `PERDURE_*`. Raises `ConfigError`."""
        from ..core.settings import load_settings

        return load_settings(self.given.config)

    def is_set(self, name: str) -> bool:
        """Whether a setting was made by somebody, and is not the default."""
        return name in self.settings.model_fields_set

    @property
    def folder(self) -> Path:
        """What the target in the settings is relative to."""
        from_file = self.given.app is None and "PERDURE_APP" not in os.environ and self.is_set("app")
        return self.given.config.resolve().parent if from_file and self.given.config else Path.cwd()

    def target(self) -> str | None:
        """Which app is meant, if any."""
        from .target import default_target

        return self.given.app or self.settings.app or default_target(Path.cwd())

    def load_app(self, target: str | None = None) -> App:
        """The app with its agents, on the store and for the tenant that were asked for. Raises `ConfigError`."""
        from .target import load_app

        named = target or self.target()
        if named is None:
            raise ConfigError(
                "no app is named: give `--app path.py:attribute`, set `app` in perdure.toml, or name it `app` in an "
                "`agents.py` here"
            )
        app = load_app(named, folder=Path.cwd() if target else self.folder)
        if (store := self._store_asked_for()) is not None and store != app.store.url:
            app.use_store(store)
        app.tenant = self._tenant(app.tenant)
        if "PERDURE_RECORD" in os.environ:  # this is the command of a `perdure record`
            from ..testing.cassette import send_calls

            send_calls(app)
        if self.is_set("approvals"):
            app.approval_settings = self.settings.approvals
        if app.audit_settings is None or self.is_set("audit"):
            app.audit_settings = self.settings.audit
        if self.is_set("policies"):
            app.policies.settings = self.settings.policies
        if self.is_set("retention"):
            app.retention = self.settings.retention
        if self.is_set("hooks"):
            app.hooks = self.settings.hooks
        if self.is_set("webhooks"):
            app.webhooks = self.settings.webhooks
        if self.is_set("mcp_serve"):
            app.mcp_serve = self.settings.mcp_serve
        if self.is_set("contacts"):
            app.contacts = self.settings.all_contacts()
        if self.is_set("alerts"):
            app.alert_settings = self.settings.alerts
        if self.is_set("watchers"):
            app.watcher_settings = self.settings.watchers
        if self.is_set("budget"):
            app.budget_settings = self.settings.budget
        if self.is_set("prices"):
            app.price_settings = self.settings.prices
        if self.is_set("identity"):
            app.identity_settings = self.settings.identity
        if self.is_set("providers"):
            app.providers = self.settings.providers
        if self.is_set("trust"):
            app.trust.given = self.settings.trust
        if self.is_set("access"):
            app.access_settings = self.settings.access
        if self.is_set("memory"):
            app.memory.settings = self.settings.memory
        return app

    def store_url(self) -> str:
        """The store that is meant; where only the program says it, the program is asked."""
        asked = self._store_asked_for()
        if asked is None and self.target() is not None:
            return self.load_app().store.url
        return asked or self.settings.store

    def _store_asked_for(self) -> str | None:
        return self.given.store or (self.settings.store if self.is_set("store") else None)

    def tenant(self) -> str:
        """Whose runs are meant."""
        from ..core.ids import DEFAULT_TENANT

        return self._tenant(DEFAULT_TENANT)

    def _tenant(self, otherwise: str) -> str:
        from ..core.ids import check_id

        asked = self.given.tenant or (self.settings.tenant if self.is_set("tenant") else None)
        return otherwise if asked is None else check_id(asked, what="a tenant")

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[App]:
        """An app without agents on a store that is there already: to look at runs and to steer them.

        Raises `StoreUnavailable` where there is none yet: looking must not make one.
        """
        from ..app import App
        from ..core.ids import DEFAULT_TENANT

        url = self.store_url()
        refuse_absent(url)
        given = self.settings
        app = App(url, tenant=self._tenant(DEFAULT_TENANT), budget=given.budget, prices=given.prices)
        app.contacts = given.all_contacts()
        app.approval_settings = given.approvals
        app.trust.given = given.trust
        app.providers, app.identity_settings = given.providers, given.identity
        app.mcp.settings, app.openapi.settings = dict(given.mcp), dict(given.openapi)
        app.databases.settings = dict(given.database)
        app.memory.settings = given.memory
        await app.open()
        try:
            yield app
        finally:
            await app.close()

    def hint(self, *parts: str, app: bool = False) -> str:
        """A `perdure` command to be pasted, with the global options that this invocation was given."""
        from ..core.settings import without_password
        from ..views.words import command_line

        store = self.given.store
        repeated = [
            word
            for flag, value in (
                ("--config", self.given.config),
                ("--store", None if store is None else without_password(store)),
                ("--tenant", self.given.tenant),
                ("--app", self.given.app if app else None),
            )
            if value is not None
            for word in (flag, str(value))
        ]
        return command_line("perdure", *parts, *repeated)

    # answers ---------------------------------------------------------------------------------------------------

    @cached_property
    def out(self) -> Console:
        """Where people read answers."""
        from .display.screen import console

        return console()

    @cached_property
    def err(self) -> Console:
        """Where people read what is not the answer: notes, logs, errors."""
        from .display.screen import console

        return console(stderr=True)

    def answer(self, value: Any) -> None:
        """One JSON value on a line of its own."""
        sys.stdout.write(json_module.dumps(value) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A remark for people; nothing with `--json`."""
        if not self.json:
            from rich.text import Text

            self.err.print(Text(text, style="dim"), soft_wrap=True)

    def done(self, text: str, value: Any) -> None:
        """That something was done: a line for people, `value` for programs."""
        if self.json:
            self.answer(value)
        else:
            from rich.text import Text

            self.out.print(Text(text), soft_wrap=True)

    def fail(self, error: PerdureError | OSError) -> Exit:
        """Show an error as one line on stderr, with `--json` as an object on stdout too; its exit code."""
        from ..views.words import one_line

        code = exit_code(error) if isinstance(error, PerdureError) else Exit.USAGE
        message = str(error)
        if self.verbose and not isinstance(error, RunFailed):
            traceback.print_exception(error)
        show_error(one_line(message))
        if self.json:
            self.answer({"error": {"type": type(error).__name__, "message": message, "exit": int(code)}})
        return code


def show_error(message: str) -> None:
    """`error: …`, red where a person looks."""
    from rich.text import Text

    from .display.screen import console

    console(stderr=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def refuse_absent(url: str) -> None:
    """Raise where there is no store at `url` to look at."""
    if url == "memory://":
        raise ConfigError(
            "a `memory://` store lives and dies with its process: there is nothing to look at from here"
        )
    if not url.startswith(("sqlite:///", "postgresql://", "postgres://")):
        return  # whoever opens it says what is wrong
    from ..db.maintenance import maintenance_of

    store = maintenance_of(url)
    try:
        if not store.exists():
            raise StoreUnavailable(
                f"there is no store `{store.name}` yet: `perdure run` and `perdure worker` make it; another is named "
                "by `--store`"
            )
    finally:
        store.close()


def command(
    group: typer.Typer, name: str, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(cli, …)` as a command of `group`, with the global options, errors shown in one way."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        everywhere = global_options(hidden=True)

        def wrapper(context: typer.Context, **given: Any) -> None:
            said: Globals = context.obj or Globals()
            here = {name: given.pop(f"everywhere_{name}") for name in everywhere}
            here["verbose"] += said.verbose
            cli = Cli(Globals(**{**asdict(said), **{k: v for k, v in here.items() if v}}))
            code = _guarded(cli, function, given)
            if code:
                raise typer.Exit(code)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
        parameters += [p.replace(kind=keyword, annotation=hints[p.name]) for p in own]
        for option, annotation in everywhere.items():
            default = {"json": False, "verbose": 0}.get(option)
            parameters.append(
                inspect.Parameter(f"everywhere_{option}", keyword, default=default, annotation=annotation)
            )
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        wrapper.__doc__, wrapper.__module__ = function.__doc__, function.__module__
        group.command(name, **options)(wrapper)
        return function

    return register


def _guarded(cli: Cli, function: Callable[..., Any], given: dict[str, Any]) -> int:
    try:
        result = function(cli, **given)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        return result or Exit.OK
    except PerdureError as error:
        return cli.fail(error)
    except BrokenPipeError:
        raise  # whoever read our output has gone: typer ends in silence
    except OSError as error:
        return cli.fail(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
