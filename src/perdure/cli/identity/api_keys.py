"""`perdure keys create|ls|revoke` and `perdure sessions ls|revoke`: what opens a server, and what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import UnknownKey
from ...core.roles import Role, roles_of
from ..arguments import duration
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import keys, sessions

if TYPE_CHECKING:
    from ...access.keys import ApiKey
    from ...access.sessions import Session

__all__: list[str] = []

KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `perdure keys ls` lists it.")]


@command(keys, "create")
async def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the program that has it: system:NAME.")],
    role: Annotated[
        list[str],
        typer.Option("--role", help=f"What it may do: {', '.join(r for r in Role if r != Role.APPROVER)}."),
    ],
    grant: Annotated[
        list[str] | None,
        typer.Option("--grant", metavar="GRANT", help="What runs may do that it starts: payments:write."),
    ] = None,
    lasts: Annotated[
        str | None,
        typer.Option(
            "--lasts", metavar="TIME", help="How long it is good; `keys_last` of [access] if not given."
        ),
    ] = None,
    by: By = None,
) -> None:
    """Make an API key for a program, and show it: once, here, and never again."""
    from ...access.keys import ApiKeys

    roles = roles_of(role, where="`--role`")
    time = cli.settings.access.keys_last if lasts is None else duration(lasts, what="--lasts")
    async with cli.opened() as app:
        made = await ApiKeys(app.store).create(
            name, tenant=app.tenant, roles=roles, grants=grant or (), lasts=time, by=_who(by)
        )
    if cli.json:
        cli.answer({**_key_json(made.key, made.key.made_at), "key": made.text})
        return
    from ...views.words import iso

    given = ", ".join(sorted(made.key.roles))
    cli.note(
        f"key {made.key.id} of system:{name} ({given}), until {iso(made.key.ends_at)}; it is shown once:"
    )
    cli.out.print(made.text, soft_wrap=True, highlight=False, markup=False)


@command(keys, "ls")
async def ls(cli: Cli) -> None:
    """List the API keys: whose, for what, until when, and when each was last used."""
    from ...access.keys import ApiKeys

    async with cli.opened() as app:
        found, now = await ApiKeys(app.store).ls(app.tenant), app.store.now()
    if cli.json:
        cli.answer([_key_json(key, now) for key in found])
        return
    if not found:
        cli.note(f"there are no keys; `{cli.hint('keys', 'create', 'NAME', '--role', 'operator')}` makes one")
        return
    from rich.text import Text

    from ...views.words import ago, safe, short_span
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            key.id,
            Text(safe(key.name), style="bold"),
            " ".join(sorted(key.roles)),
            _state(key, now) or Text(f"{short_span(key.ends_at - now)} left"),
            "never" if key.used_at is None else ago(key.used_at, now),
            safe(key.by),
        ]
        for key in found
    ]
    headings = ("key", "program", "roles", "state", "used", "made by")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((5, 0), (2, 8))))


@command(keys, "revoke")
async def revoke(cli: Cli, id: KeyId, by: By = None) -> None:
    """End an API key: the next request with it is refused, on every server of the store."""
    from ...access.keys import ApiKeys

    async with cli.opened() as app:
        key = await ApiKeys(app.store).revoke(id, tenant=app.tenant, by=_who(by))
    cli.done(f"key {key.id} of system:{key.name} opens nothing any more", _key_json(key, key.ends_at))


@command(sessions, "ls")
async def ls_sessions(cli: Cli) -> None:
    """List who is signed in with a browser: since when, by which provider, and when they were last there."""
    from ...access.sessions import Sessions

    async with cli.opened() as app:
        found, now = await Sessions(app.store).ls(app.tenant), app.store.now()
    live = [s for s in found if s.good(now, idle=cli.settings.access.idle)]
    if cli.json:
        cli.answer([_session_json(session) for session in live])
        return
    if not live:
        cli.note("nobody is signed in")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            s.id,
            Text(safe(s.principal.subject), style="bold"),
            safe(s.how),
            ago(s.began_at, now),
            ago(s.used_at, now),
            safe(s.agent),
        ]
        for s in live
    ]
    headings = ("session", "who", "by", "since", "used", "browser")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((5, 0),)))


@command(sessions, "revoke")
async def revoke_sessions(
    cli: Cli,
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="As `perdure sessions ls` lists it.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="All of a person, in place of one.")
    ] = None,
) -> None:
    """Sign somebody out, everywhere."""
    from ...access.sessions import Sessions
    from ...core.errors import ConfigError

    if (id is None) == (user is None):
        raise ConfigError("name one session, or `--user NAME`; `perdure sessions ls` lists them")
    async with cli.opened() as app:
        ended = await Sessions(app.store).revoke(tenant=app.tenant, id=id, subject=user)
    if not ended:
        raise UnknownKey(f"there is no such session of `{id or user}`; `perdure sessions ls` lists them")
    cli.done(f"{ended} session{'s have' if ended > 1 else ' has'} ended", {"ended": ended})


def _who(by: str | None) -> str:
    return f"user:{operator(by).removeprefix('user:')}"


def _state(key: ApiKey, now: int) -> Any:
    from rich.text import Text

    state = key.state(now)
    return None if state == "good" else Text(state, style="red")


def _key_json(key: ApiKey, now: int) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "roles": sorted(key.roles),
        "grants": sorted(key.grants),
        "state": key.state(now),
        "by": key.by,
        "made_at": iso(key.made_at),
        "ends_at": iso(key.ends_at),
        "used_at": None if key.used_at is None else iso(key.used_at),
        "revoked_at": None if key.revoked_at is None else iso(key.revoked_at),
        "revoked_by": key.revoked_by,
    }


def _session_json(session: Session) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "id": session.id,
        "tenant": session.tenant,
        "who": session.principal.subject,
        "by": session.how,
        "began_at": iso(session.began_at),
        "used_at": iso(session.used_at),
        "ends_at": iso(session.ends_at),
        "browser": session.agent,
    }
