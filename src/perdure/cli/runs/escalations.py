"""`perdure escalations ls|ack|pass`: what was handed to people, and who has taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..command import Cli, command
from ..tree import escalations
from .listing import RunId
from .steer import By, operator

if TYPE_CHECKING:
    from ...app.escalations import Open

__all__: list[str] = []


@command(escalations, "ls")
async def ls(
    cli: Cli,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
) -> None:
    """List escalations that nobody has acknowledged, the oldest first: whom they went to, and what is next."""
    async with cli.opened() as app:
        tenants = [app.tenant]
        if all_tenants:
            tenants = sorted({key.tenant for key, _ in await app.store.cells("notice")})
        found = [o for tenant in tenants for o in await app.escalations(tenant=tenant)]
        now = app.store.now()
    if cli.json:
        cli.answer([_json(o) for o in found])
        return
    if not found:
        cli.note("nothing waits to be acknowledged")
        return
    _table(cli, found, now)
    cli.note(cli.hint("escalations", "ack", "RUN"))


@command(escalations, "ack")
async def ack(
    cli: Cli,
    run: RunId,
    note: Annotated[str, typer.Option("--note", help="What will be done; the run's journal keeps it.")] = "",
    by: By = None,
) -> None:
    """Take a run's escalation: nobody else is told any more."""
    who = operator(by)
    async with cli.opened() as app:
        await app.acknowledge(run, by=who, note=note)
    cli.done(f"{run}: acknowledged by {who}", {"run": run, "acknowledged": True, "by": who})


@command(escalations, "pass")
async def pass_on(
    cli: Cli,
    run: RunId,
    to: Annotated[
        str | None, typer.Option("--to", metavar="CONTACT", help="Without it, the one that is next.")
    ] = None,
    by: By = None,
) -> None:
    """Hand a run's escalation to another contact, at once."""
    async with cli.opened() as app:
        await app.pass_on(run, to=to, by=operator(by))
        (now_is, *_) = await app.escalations(run_id=run)
    cli.done(f"{run}: goes to {now_is.notice.to}", {"run": run, "to": now_is.notice.to})


def _table(cli: Cli, found: list[Open], now: int) -> None:
    from rich.text import Text

    from ...views.words import ago, one_line
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(o.notice.run, style="bold"),
            ago(o.notice.created, now),
            Text(o.notice.to or "default"),
            Text(_where(o, now), style="red" if o.notice.state == "unanswered" else ""),
            Text(one_line(o.notice.subject)),
        ]
        for o in found
    ]
    headings = ("run", "since", "to", "state", "what")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((4, 20), (3, 12), (0, 12))))


def _where(o: Open, now: int) -> str:
    from ...views.words import ago, one_line

    notice = o.notice
    if notice.state == "unanswered":
        return one_line(f"nobody answers: {notice.why}")
    if notice.state == "delivered":
        told = "told" if notice.delivered_at is None else f"told {ago(notice.delivered_at, now)}"
        return told + ("" if o.due is None else f", passed on {ago(o.due, now)}")
    if notice.attempts:
        again = "" if o.due is None else f", again {ago(o.due, now)}"
        return one_line(f"{notice.attempts} attempts failed{again}: {notice.why}")
    return "to be told"


def _json(o: Open) -> dict[str, Any]:
    from ...views.words import iso

    notice = o.notice
    return {
        "run": notice.run,
        "tenant": o.tenant,
        "id": notice.id,
        "to": notice.to,
        "passed": list(notice.passed),
        "state": notice.state,
        "attempts": notice.attempts,
        "subject": notice.subject,
        "why": notice.why or None,
        "created_at": iso(notice.created),
        "delivered_at": iso(notice.delivered_at),
        "due": iso(o.due),
    }
