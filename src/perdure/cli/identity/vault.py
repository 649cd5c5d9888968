"""`perdure vault rotate|secret|forget`: the keys that users' credentials are sealed with."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..runs.bulk import Yes
from ..tree import vault
from .connections import opened_vault, subject_of

if TYPE_CHECKING:
    from ...app import App
    from ...identity import MasterKeys

__all__: list[str] = []


@command(vault, "rotate")
async def rotate(
    cli: Cli,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Put a new key in front of the others in the file first.")
    ] = False,
) -> None:
    """Seal anew, under the first of the master keys, what is sealed under another.

    It may be stopped and begun again, beside workers that go on.
    """
    from ...identity.sealing import ENVIRONMENT
    from ...vault.rotation import rotate as seal_anew

    if new_key and os.environ.get(ENVIRONMENT):
        raise ConfigError(
            f"the master keys are in `{ENVIRONMENT}`: put a new one in front there, with a space between, for all "
            "workers; then rotate without `--new-key`"
        )
    said = 0

    def tell(done: int) -> None:
        nonlocal said
        if done - said >= 1000:
            said = done
            cli.note(f"{done} keys are sealed anew")

    async with opened_vault(cli) as app:
        if new_key:
            _put_in_front(app.identity_settings.master_key)
        done = await seal_anew(app.vault, files=_files(cli, app), tell=tell)
    counts = ", ".join(f"{what} {count}" for what, count in done.done.items())
    cli.done(
        f"sealed anew under {done.current}: {counts}",
        {"current": done.current, "others": list(done.others), **done.done},
    )
    if done.others:
        cli.note(
            f"Nothing is sealed under these any more: {', '.join(done.others)}. Keep them until every backup that you "
            "would restore is younger."
        )


def _files(cli: Cli, app: App) -> dict[str, Callable[[MasterKeys], int]]:
    """What is sealed under the same master keys, and is no cell."""
    from ...audit.keys import reseal_key
    from ...identity import FileKeyStore

    identity, audit = app.identity_settings, cli.settings.audit
    files: dict[str, Callable[[MasterKeys], int]] = {
        "agents": lambda master: FileKeyStore(identity.keys, master).reseal() if identity.keys.exists() else 0
    }
    if audit.master_key.resolve() == identity.master_key.resolve():
        files["audit"] = lambda master: reseal_key(audit.key, master)
    return files


def _put_in_front(path: Path) -> None:
    """A new key, before those that are there; whole or not at all."""
    from ...identity import MasterKeys

    MasterKeys.open(path)  # says what is wrong with it
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{MasterKeys.new()}\n{path.read_text(encoding='ascii')}")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


@command(vault, "secret")
def secret(
    cli: Cli,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="As perdure.toml calls it.")],
) -> None:
    """Seal the secret of the client that Perdure is to a provider, read from standard input, into its file."""
    from ...identity import MasterKeys
    from ...vault.secrets import seal_secret, sealed_path

    settings = cli.settings.providers.get(provider)
    path = None if settings is None else sealed_path(provider, settings)
    if path is None:
        raise ConfigError(
            f'provider `{provider}` keeps no secret in a file: write `client_secret = "sealed:.perdure/{provider}"` '
            f"into [providers.{provider}]"
        )
    given = (
        getpass.getpass(f"client secret of {provider}: ") if sys.stdin.isatty() else sys.stdin.read()
    ).strip()
    if not given:
        raise ConfigError("the secret is empty; give it on standard input")
    seal_secret(provider, path, given, MasterKeys.open(cli.settings.identity.master_key))
    cli.done(f"{path}: sealed", {"provider": provider, "file": str(path)})


@command(vault, "forget")
async def forget(
    cli: Cli,
    user: Annotated[str, typer.Argument(metavar="USER", help="As `ann`, or `user:ann`.")],
    yes: Yes = False,
) -> None:
    """Destroy the key of a user, so that nothing of what they connected opens again, from no backup of this table.

    Providers are not told: `connections revoke` first, where they should be.
    """
    subject = subject_of(user)
    async with opened_vault(cli) as app:
        there = await app.vault.grants(cli.tenant(), subject=subject)
        if not yes:
            if cli.json or not sys.stdin.isatty():
                raise ConfigError(f"this destroys {len(there)} connections of `{subject}`: say `--yes`")
            typer.confirm(f"Destroy {len(there)} connections of {subject}?", abort=True, err=True)
        gone = await app.vault.forget(cli.tenant(), subject)
    names = [grant.place.provider for grant in gone]
    cli.done(
        f"{subject}: forgotten{' (' + ', '.join(names) + ')' if names else ''}",
        {"user": subject, "forgotten": names},
    )
