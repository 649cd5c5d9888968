"""`perdure mcp serve`: runs, questions and agents of an app for MCP clients."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import mcp
from ..workers.serve import PORT, refuse_open_port
from ..workers.worker import logs, on_stop, with_settings

if TYPE_CHECKING:
    from ...app import App
    from ...core.roles import Role

__all__: list[str] = []

_ROLES = ("operator", "approver")


@command(mcp, "serve")
async def serve(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="What the client may do for you over standard streams: viewer, operator, approver, auditor, "
            "policy_editor, admin; several times. Without it: operator and approver.",
        ),
    ] = None,
    worker: Annotated[bool, typer.Option("--worker", help="Drive runs in this process, too.")] = False,
    http: Annotated[
        bool, typer.Option("--http", help="Serve on a port, at /mcp, behind keys and tokens, and not here.")
    ] = False,
    host: Annotated[str, typer.Option("--host", help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="With --http: 0 for any that is free.")
    ] = PORT,
) -> int:
    """Serve runs, open questions and offered agents to an MCP client: over standard streams, or with --http on a port.

    Over standard streams the client acts as you, the user of this machine. An agent says that it may be started by
    `mcp=True`, or perdure.toml does by `agents` in its table mcp_serve. `perdure serve` has /mcp too.
    """
    logs(cli)
    app = cli.load_app(target)
    app.offered_agents()  # a misspelt one is said now, and not to the client
    if worker and not app.agents:
        raise ConfigError(f"`{app.target}` registers no agent: nothing is there for `--worker` to do")
    try:
        if http:
            if roles:
                raise ConfigError("`--role` is for standard streams: over HTTP a key or token says its roles")
            return await _on_port(cli, app, host=host, port=port, worker=worker)
        await _here(app, _roles(roles or _ROLES), worker=worker)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("perdure"):
            raise
        extras = "mcp,serve" if http else "mcp"
        raise ConfigError(f'serving MCP needs `{error.name}`: `pip install "perdure[{extras}]"`') from None
    return Exit.OK


def _roles(words: Iterable[str]) -> frozenset[Role]:
    from ...core.roles import roles_of

    return roles_of(words, where="`--role`")


async def _here(app: App, roles: frozenset[Role], *, worker: bool) -> None:
    """Over this process's standard streams, until the client closes them."""
    from ...mcp_server.stdio import serve_stdio

    async with AsyncExitStack() as stack:
        if worker:
            await stack.enter_async_context(app)
        else:
            await app.open()
            stack.push_async_callback(app.close)
        await serve_stdio(app, roles=roles)


async def _on_port(cli: Cli, app: App, *, host: str, port: int, worker: bool) -> int:
    """On a port, for whoever shows a key or a token, until it is stopped."""
    refuse_open_port(app, host)
    from ...access.gates import AppGate
    from ...access.origins import LOOPBACK
    from ...core.ids import new_id
    from ...mcp_server import can_serve
    from ...server import Life
    from ...server.composition import mcp_asgi
    from ...server.serving import Serving

    if not can_serve():
        raise ModuleNotFoundError(name="mcp")
    access = app.access_settings
    known = () if access.url is None else (urlsplit(access.url).netloc,)
    options = with_settings(cli, replace(app.options, session=f"w-{new_id()[:12]}")) if worker else None
    application = mcp_asgi(
        app,
        gate=AppGate(app),
        hosts=(*LOOPBACK, *known, *access.hosts),
        life=Life(app, worker=worker, options=options, beside=() if worker else app.beside_server()),
    )
    serving = Serving(application, host=host, port=port, proxies=access.proxies)
    bound = serving.bind()
    address = f"{access.url or bound}/mcp"
    on_stop(cli, serving.stop)

    def ready() -> None:
        if cli.json:
            cli.answer({"event": "ready", "pid": os.getpid(), "url": address, "worker": worker})
        else:
            cli.note(
                f"MCP server {os.getpid()}: {address}; clients show a key (`perdure keys create`) or a token"
            )

    await serving.run(ready)
    return Exit.OK
