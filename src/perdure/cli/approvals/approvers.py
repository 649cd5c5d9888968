"""`perdure approvers keygen|ls|show|revoke`: the keys by which people sign their answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, UnknownApprover
from ...core.people import is_agent, person
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import approvers
from .signing import default_key, passphrase

if TYPE_CHECKING:
    from ...core.approver_keys import ApproverKey

__all__: list[str] = []

Key = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or how it begins.")]


@command(approvers, "keygen")
def keygen(
    cli: Cli,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", help="Whose key; the user of this machine if not given."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to keep it; the usual place if not given."),
    ] = None,
    es256: Annotated[bool, typer.Option("--es256", help="A key on P-256, and not Ed25519.")] = False,
) -> None:
    """Make your key, which a passphrase opens, and print the line by which others know it."""
    from .signing import library

    who = user or f"user:{operator(None)}"
    if is_agent(who):
        raise ConfigError(f"`{who}` is an agent, and agents approve nothing: a key is a person's")
    path = out or default_key()
    if path.exists():
        raise ConfigError(f"there is a file `{path}` already; name another by `--out`, or move it away")
    key = library().SigningKey.new(who, "es256" if es256 else "ed25519")
    key.write(path, passphrase(f"the new key `{path}`", new=True))
    line = f'"{who}" = ["{key.public.key}"]'
    if cli.json:
        cli.answer({"user": who, "kid": key.public.kid, "key": key.public.key, "file": str(path)})
        return
    cli.note(
        f"{path}: your key {key.public.kid}; keep it, and its passphrase, to yourself. The others' perdure.toml:\n"
    )
    from rich.text import Text

    cli.out.print(Text(f"[approvals.keys]\n{line}"), soft_wrap=True)


@command(approvers, "ls")
async def ls(cli: Cli) -> None:
    """List the keys that are registered, and which of them are revoked."""
    found = await _keys(cli)
    if cli.json:
        cli.answer(found)
        return
    if not found:
        cli.note("nobody has a key: `perdure approvers keygen` makes one, `[approvals.keys]` registers it")
        return
    from rich.text import Text

    from ..display.screen import listing

    rows: list[list[Any]] = [
        [
            one["user"],
            one["kid"][:12],
            one["alg"],
            Text("" if one["revoked_at"] is None else f"revoked {one['revoked_at']}", style="red"),
            one["note"],
        ]
        for one in found
    ]
    cli.out.print(
        listing(("user", "key", "signs by", "state", "note"), rows, cli.out, squeeze=((0, 0), (4, 0)))
    )


@command(approvers, "show")
async def show(
    cli: Cli,
    who: Annotated[str, typer.Argument(metavar="NAME|KEY", help="A person, or the id of a key.")],
) -> None:
    """Show the keys of a person, or one key."""
    keys = await _keys(cli)
    found = [one for one in keys if person(one["user"]) == person(who)]
    found = found or [one for one in keys if one["kid"].startswith(who)]
    if not found:
        raise UnknownApprover(f"nobody of the name `{who}` has a key; `perdure approvers ls` lists them")
    if cli.json:
        cli.answer(found)
        return
    for one in found:
        state = "good" if one["revoked_at"] is None else f"revoked {one['revoked_at']}"
        by = f" by {one['revoked_by']}" if one["revoked_by"] else ""
        why = f": {one['why']}" if one["why"] else ""
        cli.out.print(f"{one['user']}  {one['kid']}  {state}{by}{why}", soft_wrap=True, markup=False)
        cli.out.print(f"  {one['key']}", soft_wrap=True, markup=False)


@command(approvers, "revoke")
async def revoke(
    cli: Cli,
    key: Key,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    by: By = None,
) -> None:
    """Take a key's word away, at once and on every worker; answers that counted before stay good."""
    from ...governance.signatures import revocation
    from ...views.words import iso

    matching = [one for one in await _keys(cli) if one["kid"].startswith(key)]
    if len(matching) > 1:
        raise ConfigError(f"`{key}` begins {len(matching)} keys; say more of it")
    if not matching and len(key) != _KID_LETTERS:
        raise UnknownApprover(f"nobody has a key `{key}`; `perdure approvers ls` lists them")
    kid: str = matching[0]["kid"] if matching else key
    async with cli.opened() as app:
        said = await app.store.amend(revocation(app.tenant, kid, by=operator(by), why=reason))
    since = iso(said["revoked_at"])
    cli.done(f"{kid}: revoked since {since}", {"kid": kid, "revoked_at": since, "by": said["by"]})


_KID_LETTERS = 43
"""Of SHA-256 in base64url: a key that only the program knows can be named in full."""


async def _keys(cli: Cli) -> list[dict[str, Any]]:
    from ...core.errors import StoreUnavailable
    from ...governance.signatures import revocations

    said: dict[str, dict[str, Any]] = {}
    if any(cli.settings.approvals.keys.values()):
        try:
            async with cli.opened() as app:
                said = await revocations(app.store)
        except StoreUnavailable:
            cli.note("the store cannot be looked at: keys that were revoked there are shown as good")
    return [
        _told(name, key, said.get(key.kid))
        for name, keys in sorted(cli.settings.approvals.keys.items())
        for key in keys
    ]


def _told(user: str, key: ApproverKey, said: dict[str, Any] | None) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "user": user,
        "kid": key.kid,
        "alg": key.alg,
        "key": key.key,
        "note": key.note,
        "revoked_at": iso(key.revoked_since(said)),
        "revoked_by": None if said is None else said["by"],
        "why": None if said is None else said["why"] or None,
    }
