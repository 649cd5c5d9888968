"""`perdure memory sessions ls|show`: conversations and cases, what was said in them, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..tree import memory_sessions

if TYPE_CHECKING:
    from ...memory import Kept, Message, Origin, SessionHead

__all__: list[str] = []


@command(memory_sessions, "ls")
async def ls(
    cli: Cli,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
) -> None:
    """List the sessions of the tenant; those of data subjects where the key to them is here."""
    async with cli.opened() as app:
        found = await app.memory.sessions.ls(app.tenant, limit=limit)
        now = app.store.now()
    if cli.json:
        cli.answer([_json(head) for head in found])
        return
    if not found:
        cli.note("no run has written to a session yet")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(safe(head.place.session), style="bold"),
            safe(head.place.subject or ""),
            safe(head.place.agent or ""),
            f"{head.messages:,}",
            "" if head.summary is None else f"up to {head.summary.upto:,}",
            ago(head.began, now),
            ago(head.changed, now),
        ]
        for head in found
    ]
    columns = ("session", "subject", "agent", "messages", "summed up", "began", "changed")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((0, 12), (1, 12)), right=(3,)))


@command(memory_sessions, "show")
async def show(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The session's name.")],
    subject: Annotated[
        str | None, typer.Option("--subject", help="Of which data subject, where it has one.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Of which agent alone, where it is one's own.")
    ] = None,
    last: Annotated[int, typer.Option("--last", help="So many messages.", min=1, max=1000)] = 20,
) -> None:
    """Show the last messages of a session and its values, each with the run that wrote it and its labels."""
    from ...memory import Place

    async with cli.opened() as app:
        sessions = app.memory.sessions
        place = Place(app.tenant, subject, name, agent)
        head = await sessions.head(place)
        if head is None:
            raise ConfigError(
                f"there is no session `{name[:80]}`"
                + (f" of `{subject}`" if subject else "; one of a data subject needs --subject")
                + (f" of `{agent}` alone" if agent else ", and one agent's own --agent")
                + f": `{cli.hint('memory', 'sessions', 'ls')}` lists them"
            )
        messages = await sessions.messages(place, last=last, whole=True)
        values = await sessions.values(place)
        now = app.store.now()
    if cli.json:
        told = {**_json(head), "last": [_message(m) for m in messages], "values": [_value(v) for v in values]}
        cli.answer(told)
        return
    from rich.text import Text

    from ...views.words import ago, pretty, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            str(m.n),
            Text(safe(m.role), style="bold"),
            safe(pretty(m.content, limit=200)),
            *_from(m.origin),
            ago(m.at, now),
        ]
        for m in messages
    ]
    if head.summary is not None:
        cli.out.print(f"summed up to {head.summary.upto}: {safe(head.summary.text)}")
    columns = ("n", "role", "content", "run", "labels", "written")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((2, 20), (3, 12)), right=(0,)))
    if values:
        kept: list[list[Text | str]] = [
            [
                str(v.version),
                Text(safe(v.key), style="bold"),
                safe(pretty(v.value, limit=200)),
                *_from(v.origin),
                ago(v.at, now),
            ]
            for v in values
        ]
        columns = ("version", "key", "value", "run", "labels", "written")
        cli.out.print(listing(columns, kept, cli.out, squeeze=((2, 20), (3, 12)), right=(0,)))


def _from(origin: Origin) -> list[str]:
    from ...views.words import safe

    return [safe(origin.run), safe(", ".join(origin.labels))]


def _json(head: SessionHead) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "session": head.place.session,
        "tenant": head.place.tenant,
        "subject": head.place.subject,
        "agent": head.place.agent,
        "messages": head.messages,
        "summary": None
        if head.summary is None
        else {"upto": head.summary.upto, "text": head.summary.text, **_origin(head.summary.origin)},
        "began": iso(head.began),
        "changed": iso(head.changed),
    }


def _message(message: Message) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "n": message.n,
        "role": message.role,
        "content": message.content,
        "at": iso(message.at),
        **_origin(message.origin),
    }


def _value(kept: Kept) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "key": kept.key,
        "value": kept.value,
        "version": kept.version,
        "at": iso(kept.at),
        **_origin(kept.origin),
    }


def _origin(origin: Origin) -> dict[str, Any]:
    return {"run": origin.run, "step": origin.step, "labels": list(origin.labels)}
