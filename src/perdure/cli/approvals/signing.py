"""An answer's signature, by the key of whoever sits before this terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ...core.errors import ConfigError
from ...core.people import person

if TYPE_CHECKING:
    from ...core.approval_settings import Signatures
    from ...identity.approver_file import SigningKey

__all__ = [
    "ENVIRONMENT",
    "PASSPHRASE",
    "How",
    "SignWith",
    "default_key",
    "library",
    "passphrase",
    "signer",
]

SignWith = Annotated[
    Path | None,
    typer.Option(
        "--sign-with", metavar="KEYFILE", help="Your key; where one is needed, the usual place of it."
    ),
]
ENVIRONMENT = "PERDURE_APPROVER_KEY"
"""The variable that names the key's file; without it, it is `approver.key` in the folder of the user's settings."""
PASSPHRASE = "PERDURE_APPROVER_PASSPHRASE"
"""The variable that holds the passphrase, where nobody can be asked. Never an argument: others can read those."""


class How(NamedTuple):
    """How an answer is to be signed, as the command says."""

    key: Path | None = None
    issuer: str | None = None


def default_key() -> Path:
    """Where a key is looked for that is not named."""
    return Path(os.environ.get(ENVIRONMENT) or Path(typer.get_app_dir("perdure")) / "approver.key")


def passphrase(what: str, *, new: bool = False) -> str:
    """The passphrase of a key: from the environment, or from whoever sits there. Raises `ConfigError`."""
    if given := os.environ.get(PASSPHRASE):
        return given
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked for the passphrase of {what}: set `{PASSPHRASE}`")
    return typer.prompt(f"Passphrase of {what}", hide_input=True, confirmation_prompt=new, err=True)


def signer(what: str, signing: Signatures | None, path: Path | None, by: str | None) -> Path | None:
    """The file of the key by which an answer to `what` is to be signed; None: it is not. Raises `ConfigError`.

    `signing`: whether signatures are looked for there.
    """
    if path is None and signing is not None and default_key().exists():
        path = default_key()
    if path is None:
        if signing == "required":
            raise ConfigError(
                f"an answer to {what} counts only with your signature: give `--sign-with KEYFILE` "
                "(`perdure approvers keygen` makes a key), or sign in with `--sign-in ISSUER`, where one is named"
            )
        return None
    owner = library().owner_of(path)
    if by is not None and person(by) != person(owner):
        raise ConfigError(f"`{path}` is the key of `{owner}`: `{by}` signs with one of their own")
    return path


def open_key(path: Path) -> SigningKey:
    """A key, with its passphrase. Raises `ConfigError`."""
    return library().SigningKey.read(path, passphrase)


def library() -> Any:
    """What makes and opens keys. Raises `ConfigError` where the extra is not installed."""
    try:
        from ...identity import approver_file
    except ModuleNotFoundError as error:
        raise ConfigError(f'keys need `{error.name}`: `pip install "perdure[identity]"`') from error
    return approver_file
