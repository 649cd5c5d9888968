"""`perdure memory knowledge ls|show`: whom and what agents know, what of them, since when, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..tree import memory_knowledge

if TYPE_CHECKING:
    from rich.text import Text

    from ...memory.knowledge import Candidate, Entity, Fact

__all__: list[str] = []

Subject = Annotated[str | None, typer.Option("--subject", help="About which data subject, where it is.")]
Agent = Annotated[str | None, typer.Option("--agent", help="What that agent alone knows.")]


@command(memory_knowledge, "ls")
async def ls(
    cli: Cli,
    kind: Annotated[str | None, typer.Option("--kind", help="Those of a kind, as `person`.")] = None,
    subject: Subject = None,
    agent: Agent = None,
    after: Annotated[int, typer.Option("--after", help="Behind that id: the next page.")] = 0,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
) -> None:
    """List the people and things that are known, in the order in which they were first named."""
    from ...memory import Whose

    async with cli.opened() as app:
        whose = Whose(app.tenant, subject, agent)
        found = await app.memory.knowledge.ls(whose, kind=kind, after=after, limit=limit)
        now = app.store.now()
    if cli.json:
        cli.answer([_entity(entity) for entity in found])
        return
    if not found:
        cli.note("nobody and nothing is known" + ("" if kind is None else f" of kind `{kind[:80]}`"))
        return
    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            str(e.id),
            safe(e.kind),
            _bold(e.name),
            safe(", ".join(e.aliases)),
            safe(e.origin.run),
            safe(", ".join(e.origin.labels)),
            ago(e.at, now),
        ]
        for e in found
    ]
    columns = ("id", "kind", "name", "also called", "run", "labels", "named")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((3, 12), (2, 20)), right=(0,)))


@command(memory_knowledge, "show")
async def show(
    cli: Cli,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="As `person`.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or another that it has, or its id.")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="What held then: 2026, 2026-06, 2026-06-01.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", help="As it was known then; without it, now.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="All versions, also of what was taken back.")
    ] = False,
    subject: Subject = None,
    agent: Agent = None,
) -> None:
    """Show what is known about somebody or something, whenever it holds, with where each fact comes from."""
    from ...memory import Whose

    async with cli.opened() as app:
        knowledge, whose = app.memory.knowledge, Whose(app.tenant, subject, agent)
        found = await knowledge.find(whose, kind, name)
        entity = found.entity
        if entity is None and name.isdecimal():
            entity = await knowledge.get(whose, int(name))
        if entity is None:
            raise ConfigError(_unknown(cli, kind, name, found.candidates))
        if history:
            facts = await knowledge.history(whose, entity.id, direction="both", limit=1000)
        else:
            facts = await knowledge.about(
                whose,
                entity.id,
                direction="both",
                as_of=as_of,
                known_at=known_at,
                ever=as_of is None,
                limit=1000,
            )
        now = app.store.now()
    if cli.json:
        cli.answer({**_entity(entity), "facts": [_fact(fact) for fact in facts]})
        return
    from ...views.words import ago, pretty, safe
    from ..display.screen import listing

    called = f", also called {safe(', '.join(entity.aliases))}" if entity.aliases else ""
    cli.out.print(f"{safe(entity.kind)} {safe(entity.name)} ({entity.id}){called}")
    rows: list[list[Text | str]] = [
        [
            str(f.id),
            safe(f.subject.name),
            _bold(f.relation),
            safe(pretty(f.value, limit=200)) if f.object is None else safe(f.object.name),
            "" if f.valid_from is None else f"{f.valid_from:%Y-%m-%d}",
            "" if f.valid_to is None else f"{f.valid_to:%Y-%m-%d}",
            safe(f.origin.run),
            safe(", ".join(f.origin.labels)),
            ago(f.at, now) + ("" if f.until is None else f", until {ago(f.until, now)}"),
        ]
        for f in facts
    ]
    columns = ("id", "subject", "relation", "object", "from", "until", "run", "labels", "known")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((3, 16), (1, 12)), right=(0,)))
    for fact in facts:
        if fact.contradicts and fact.until is None:
            cli.note(f"fact {fact.id} cannot hold together with {', '.join(map(str, fact.contradicts))}")


def _bold(text: str) -> Text:
    from rich.text import Text

    from ...views.words import safe

    return Text(safe(text), style="bold")


def _unknown(cli: Cli, kind: str, name: str, candidates: tuple[Candidate, ...]) -> str:
    if candidates:
        which = ", ".join(f"`{c.entity.name[:80]}` ({c.entity.id})" for c in candidates)
        return f"which {kind[:80]} `{name[:80]}` is cannot be told: {which}; give the id"
    return (
        f"no {kind[:80]} is known as `{name[:80]}`: `{cli.hint('memory', 'knowledge', 'ls')}` lists who is "
        "(with --subject, about a data subject)"
    )


def _entity(entity: Entity) -> dict[str, Any]:
    return {
        "id": entity.id,
        "kind": entity.kind,
        "name": entity.name,
        "aliases": list(entity.aliases),
        "merged": list(entity.merged),
        "at": entity.at,
        "run": entity.origin.run,
        "step": entity.origin.step,
        "labels": list(entity.origin.labels),
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "version": fact.version,
        "says": str(fact),
        "subject": fact.subject.id,
        "relation": fact.relation,
        "object": None if fact.object is None else fact.object.id,
        "value": fact.value,
        "valid_from": None if fact.valid_from is None else fact.valid_from.isoformat(),
        "valid_to": None if fact.valid_to is None else fact.valid_to.isoformat(),
        "confidence": fact.confidence,
        "at": fact.at,
        "until": fact.until,
        "contradicts": list(fact.contradicts),
        "write": fact.write,
        "run": fact.origin.run,
        "step": fact.origin.step,
        "labels": list(fact.origin.labels),
    }
