"""`perdure serve`: the API and the pages on a port, and with `--worker` the runs too."""

from __future__ import annotations

import asyncio
import gc
import hmac
import ipaddress
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import urlsplit

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import root
from .worker import SESSION_VARIABLE, leave_at_once, logs, on_stop, with_settings

if TYPE_CHECKING:
    from ...access.links import Links
    from ...app import App
    from ...server import Application

__all__ = ["PORT", "refuse_open_port"]

PORT = 8321


@command(root, "serve", rich_help_panel="Work")
async def serve(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any that is free.")] = PORT,
    worker: Annotated[bool, typer.Option("--worker", help="Drive runs in this process, too.")] = False,
    concurrency: Annotated[
        int | None, typer.Option("-n", "--concurrency", min=1, help="With --worker: runs driven at once.")
    ] = None,
) -> int:
    """Serve the API (`/api/v1`) and the pages. SIGTERM or Ctrl-C: answer what is under way, then exit 0.

    Nobody gets in without proving who they are: by an API key, a token of an issuer, or a sign-in (`[access]`).
    """
    logs(cli)
    if concurrency is not None and not worker:
        raise ConfigError("`--concurrency` is of the worker: give `--worker` too")
    app = cli.load_app(target)
    refuse_open_port(app, host)
    made = await _made(cli, app, worker=worker, concurrency=concurrency)
    application = made.application
    from ...server.serving import Serving

    serving = Serving(
        application,
        host=host,
        port=port,
        proxies=app.access_settings.proxies,
        log_level="info" if cli.verbose else "warning",
    )
    address = serving.bind()
    stop = on_stop(cli, lambda: _stop(cli, serving.stop))
    if os.environ.get(SESSION_VARIABLE):  # whoever started us holds the other end of our standard input
        asyncio.get_running_loop().add_reader(0, _orphaned, stop)
    gc.collect()
    gc.freeze()  # what is loaded now stays: the collector need not look at it again and again
    await serving.run(
        lambda: _announce(cli, app, made.links, app.access_settings.url or address, worker=worker)
    )
    left = 0 if application.life.worker is None else application.life.worker.busy
    if cli.json:
        cli.answer({"event": "stopped", "pid": os.getpid(), "left": left})
    else:
        cli.note("stopped in good order" if not left else "stopped; steps went on too long")
    if left:
        leave_at_once(Exit.OK)
    return Exit.OK


def refuse_open_port(app: App, host: str) -> None:
    """A port that others reach is for a server that knows its address: else its cookies would go in the clear."""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if not here and app.access_settings.url is None:
        raise ConfigError(
            f"`--host {host}` is reached from elsewhere: say under which address, as `url = "
            '"https://perdure.example.org"` in the table [access] of perdure.toml (a reverse proxy does the TLS)'
        )


class _Made(NamedTuple):
    application: Application
    links: Links | None
    """None: people sign in elsewhere"""


async def _made(cli: Cli, app: App, *, worker: bool, concurrency: int | None) -> _Made:
    try:
        from ...access.entrance import Entrance
        from ...access.gates import AppGate
        from ...access.links import Links
        from ...access.origins import LOOPBACK
        from ...server import Life, asgi
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("perdure"):
            raise
        raise ConfigError(f'a server needs `{error.name}`: `pip install "perdure[serve]"`') from None
    from ...core.ids import new_id

    options = None
    if worker:
        if not app.agents:
            raise ConfigError(f"`{app.target}` registers no agent: nothing is there for `--worker` to do")
        session = os.environ.get(SESSION_VARIABLE) or f"w-{new_id()[:12]}"
        options = with_settings(cli, replace(app.options, session=session))
        if concurrency is not None:
            options = replace(options, concurrency=concurrency)
    access, gate = app.access_settings, AppGate(app)
    links = Links(clock=app.clock) if access.url is None else None
    await app.open()
    # Forms of one server are taken by every other of this store, and by none of another store.
    key = hmac.digest(await app.store.tenant_key(app.tenant), b"perdure pages", "sha256")
    known = () if access.url is None else (urlsplit(access.url).netloc,)
    application = asgi(
        app,
        gate=gate,
        entrance=Entrance(gate, links=links),
        key=key,
        hosts=(*LOOPBACK, *known, *access.hosts),
        life=Life(app, worker=worker, options=options, beside=() if worker else app.beside_server()),
        lifespan=True,
    )
    return _Made(application, links)


def _announce(cli: Cli, app: App, links: Links | None, url: str, *, worker: bool) -> None:
    from ...core.settings import shown_url

    store = shown_url(app.store.url)
    link = None if links is None else links.new(url)
    if cli.json:
        told = {"event": "ready", "pid": os.getpid(), "url": url, "store": store, "worker": worker}
        cli.answer({**told, "sign_in": link} if link else told)
        return
    does = "serves, and drives runs" if worker else "serves"
    cli.note(f"server {os.getpid()} {does}, on {store}: {url}")
    if link:
        cli.out.print(f"sign in, once, within 15 minutes: {link}", soft_wrap=True, highlight=False)


def _stop(cli: Cli, stop: Callable[[], None]) -> None:
    if cli.json:
        cli.answer({"event": "stopping", "pid": os.getpid()})
    else:
        cli.note("stopping: requests under way are answered, streams end. Ctrl-C again: at once")
    stop()


def _orphaned(stop: Callable[[], None]) -> None:
    asyncio.get_running_loop().remove_reader(0)
    stop()
