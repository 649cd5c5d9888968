"""`perdure connect` and `perdure connections ls|show|revoke`: the accounts that users let their agents use."""

from __future__ import annotations

import getpass
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, UnknownConnection
from ..command import Cli, command
from ..outcome import Exit
from ..runs.acting import os_user
from ..runs.steer import operator
from ..tree import connections, root

if TYPE_CHECKING:
    from ...app import App
    from ...identity.oauth import Authorization, Device
    from ...vault import Connected, Grant

__all__ = ["User", "opened_vault", "subject_of"]

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="As perdure.toml calls it, in its table.")]
User = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", help="Whose account; the user of this machine if not given."),
]


def subject_of(user: str | None) -> str:
    """A user as runs know them: `ann` is `user:ann`."""
    if user is None:
        return os_user(frozenset()).subject
    named = operator(user)
    return named if ":" in named else f"user:{named}"


@asynccontextmanager
async def opened_vault(cli: Cli, *, make: bool = False) -> AsyncGenerator[App]:
    """An app with the vault of the store that is meant. What the settings do not say, the program is asked for.

    `make`: the store is made where there is none.
    """
    from ..command import refuse_absent

    url = cli.store_url()
    if not make or url == "memory://":
        refuse_absent(url)
    from ...app import App

    said = cli.settings
    app = App(url, tenant=cli.tenant(), providers=said.providers, identity=said.identity, mcp=said.mcp)
    if cli.target() is not None and not (cli.is_set("providers") and cli.is_set("identity")):
        told = cli.load_app()
        app.providers, app.identity_settings = told.providers, told.identity_settings
    await app.open()
    try:
        yield app
    finally:
        await app.close()


@command(root, "connect", rich_help_panel="Look and steer")
async def connect(
    cli: Cli,
    provider: Provider,
    user: User = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What to ask for, in the provider's words; without it what is needed."),
    ] = None,
    device: Annotated[
        bool, typer.Option("--device", help="Agree on another device: for a machine without a browser.")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the address, or only show it.")
    ] = True,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="Of an API key; without it it is read from standard input."),
    ] = None,
) -> None:
    """Connect an account of a user, for the tools that need it; runs that wait for it go on.

    With --json two lines: where the user is to go, then what came of it.
    """
    from ...vault import connect_browser, connect_device

    subject, tenant, scopes = subject_of(user), cli.tenant(), tuple(scope or ())
    async with opened_vault(cli, make=True) as app:
        vault = app.vault
        if vault.provider(provider).kind == "api_key":
            if device:
                raise ConfigError(f"provider `{provider}` takes an API key: leave `--device` out")
            key = _read_key(provider, key_file)
            made = await vault.connect_key(tenant, subject, provider, key, scopes=scopes)
        elif key_file is not None:
            raise ConfigError(f"provider `{provider}` has OAuth, and takes no `--key-file`")
        elif device:
            made = await connect_device(
                vault, tenant, subject, provider, tell=lambda begun: _tell_device(cli, begun), scopes=scopes
            )
        else:
            made = await connect_browser(
                vault,
                tenant,
                subject,
                provider,
                tell=lambda begun: _tell_browser(cli, begun, open_it=browser),
                scopes=scopes,
            )
    _tell_connected(cli, made)


def _read_key(provider: str, file: Path | None) -> str:
    """Never from the command line, which every process of the machine can read."""
    if file is not None:
        try:
            return file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"`--key-file` `{file}` cannot be read: {error}") from None
    if sys.stdin.isatty():
        return getpass.getpass(f"API key of {provider}: ")
    return sys.stdin.read()


def _tell_browser(cli: Cli, begun: Authorization, *, open_it: bool) -> None:
    if cli.json:
        cli.answer({"open": begun.url})
    else:
        cli.note("Open this, and agree; from another machine use `--device`:")
        cli.err.print(begun.url, soft_wrap=True, highlight=False, markup=False)
    if open_it:
        import webbrowser

        # In a thread: some wait until the browser is closed. Where it fails, the address is shown.
        threading.Thread(target=webbrowser.open, args=(begun.url,), daemon=True).start()


def _tell_device(cli: Cli, begun: Device) -> None:
    from ...views.words import safe

    if cli.json:
        told = {"open": begun.verification_uri, "code": begun.user_code}
        cli.answer({**told, "open_with_code": begun.verification_uri_complete})
        return
    cli.note(f"Open {safe(begun.verification_uri)} on any device, and type in:")
    cli.err.print(safe(begun.user_code), style="bold", soft_wrap=True, highlight=False, markup=False)


def _tell_connected(cli: Cli, made: Connected) -> None:
    place = made.grant.place
    woken = [ref.id for ref in made.woken]
    going = f"; {len(woken)} {'run goes' if len(woken) == 1 else 'runs go'} on" if woken else ""
    cli.done(
        f"{place.subject} has connected {place.provider}{going}", {**grant_json(made.grant), "woken": woken}
    )


# looking, and taking back ----------------------------------------------------------------------------------------


@command(connections, "ls")
async def ls(cli: Cli, user: User = None) -> None:
    """List the accounts that are connected, of all users or of one."""
    async with opened_vault(cli) as app:
        found = await app.vault.grants(cli.tenant(), subject=None if user is None else subject_of(user))
    if cli.json:
        cli.answer([grant_json(grant) for grant in found])
        return
    if not found:
        cli.note("nobody has connected an account; `perdure connect PROVIDER --user NAME` does")
        return
    from ...core.clock import SystemClock
    from ...views.words import ago, safe
    from ..display.screen import listing

    now = SystemClock().micros()
    rows: list[list[Any]] = [
        [
            safe(grant.place.provider),
            safe(grant.place.subject),
            grant.state,
            safe(" ".join(grant.scopes)),
            "" if grant.expires_at is None else ago(grant.expires_at, now),
            ago(grant.connected_at, now),
        ]
        for grant in found
    ]
    headings = ("provider", "user", "state", "scopes", "ends", "connected")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((3, 0), (1, 0))))


@command(connections, "show")
async def show(cli: Cli, provider: Provider, user: User = None) -> None:
    """Show what a user has connected with a provider, and the runs that wait for it."""
    subject = subject_of(user)
    async with opened_vault(cli) as app:
        grant = await app.vault.grant(cli.tenant(), subject, provider)
        waiting = await app.vault.waiting(cli.tenant(), subject, provider)
    if grant is None and not waiting:
        raise _unknown(cli, provider, subject)
    told: dict[str, Any] = {
        **({"provider": provider, "user": subject, "state": "none"} if grant is None else grant_json(grant)),
        "waiting": waiting,
    }
    if cli.json:
        cli.answer(told)
        return
    from ...views.words import safe

    for name, value in told.items():
        if value not in (None, "", []):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            cli.out.print(f"{name:<12} {safe(shown)}", soft_wrap=True, highlight=False, markup=False)


@command(connections, "revoke")
async def revoke(cli: Cli, provider: Provider, user: User = None) -> int:
    """Take a user's account away from their agents, and have the provider forget it.

    It is gone here also where the provider cannot be told; the exit code is 1 then.
    """
    subject = subject_of(user)
    async with opened_vault(cli) as app:
        revoked = await app.vault.revoke(cli.tenant(), subject, provider)
    if revoked is None:
        raise _unknown(cli, provider, subject)
    told = {"provider": provider, "user": subject, "revoked": True, "provider_told": revoked.told}
    cli.done(f"{subject}: {provider} is not connected any more", {**told, "why": revoked.why})
    if revoked.told:
        return Exit.OK
    cli.note(f"{provider} was not told ({revoked.why}): the user can take it back there")
    return Exit.NOT_SO if revoked.failed else Exit.OK


def _unknown(cli: Cli, provider: str, subject: str) -> UnknownConnection:
    hint = cli.hint("connect", provider, "--user", subject.removeprefix("user:"))
    return UnknownConnection(f"`{subject}` has connected no account with `{provider}`; `{hint}` does")


def grant_json(grant: Grant) -> dict[str, Any]:
    """For programs: everything but what is sealed."""
    from ...views.words import iso

    place = grant.place
    return {
        "provider": place.provider,
        "user": place.subject,
        "tenant": place.tenant,
        "state": grant.state,
        "why": grant.why or None,
        "kind": grant.kind,
        "scopes": list(grant.scopes),
        "expires_at": iso(grant.expires_at),
        "connected_at": iso(grant.connected_at),
        "renewed_at": iso(grant.renewed_at),
        "version": grant.version,
        "by": grant.by,
    }
