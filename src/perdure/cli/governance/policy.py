"""`perdure policy init|check|ls|explain`: what agents may do, and what decides a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..complete import agent_names
from ..outcome import Exit
from ..tree import policy

if TYPE_CHECKING:
    from ...app import App
    from ...governance.policy.book import PolicyBook

__all__ = ["Folder", "book_of"]

Folder = Annotated[
    Path | None, typer.Argument(metavar="[FOLDER]", help="The policies; those of the app if not given.")
]


def book_of(app: App, folder: Path | None) -> PolicyBook:
    """The policies in a folder, or those that hold. Raises `ConfigError`, also where there are none."""
    found = app.policies.read(folder)
    if found is None:
        raise ConfigError(
            "this app has no policies: its agents may do whatever nothing else refuses. `perdure policy init` begins a "
            "folder"
        )
    return found


@command(policy, "init")
def init(
    cli: Cli,
    packs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PACK]...", help="What to begin with; the starter set if not given."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FOLDER", help="Where to; `policies` beside the settings."),
    ] = None,
) -> None:
    """Begin a folder of policies, with what comes with Perdure. Files that are there stay."""
    from ...governance.policy.packs import STARTER, pack

    folder = into or cli.settings.policies.folder or cli.folder / "policies"
    made: list[str] = []
    for name in packs or [STARTER]:
        file = pack(name)
        path = folder / file.name
        if path.exists():
            raise ConfigError(f"`{path}` is there already: it stays; move it away to begin anew")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
        made.append(str(path))
    if cli.json:
        cli.answer({"folder": str(folder), "made": made})
        return
    for path in made:
        cli.out.print(f"made: {path}", soft_wrap=True)
    cli.note("Read it, change it, then `perdure policy check`. Workers read it when they start.")


@command(policy, "packs")
def packs(cli: Cli) -> None:
    """List the policies that come with Perdure, each with what it says of itself."""
    from ...governance.policy.packs import pack
    from ...governance.policy.packs import packs as all_packs

    found = [{"name": name, "about": _about(pack(name).text)} for name in all_packs()]
    if cli.json:
        cli.answer(found)
        return
    from ..display.screen import listing

    rows: list[list[Any]] = [[each["name"], each["about"]] for each in found]
    cli.out.print(listing(("pack", "what it says"), rows, cli.out, squeeze=((1, 0),)))


def _about(text: str) -> str:
    lines = [line.removeprefix("//").strip() for line in text.splitlines()]
    return " ".join(lines[: lines.index("")])


@command(policy, "check")
async def check(cli: Cli, folder: Folder = None) -> None:
    """Load the policies as a worker would: to the letter, against the app's agents and tools, wrapped agents' too."""
    app = cli.load_app()
    try:
        book = book_of(app, folder)
    finally:
        await app.close()
    layers = {name: len(found) for name, found in book.policies.all().items()}
    found = app.policies.survey()
    foreign = sorted({tool.name for tool in book.forms()[1]} - app.tools.keys())
    later = [{"agent": agent, "from": name} for agent, name in found.later]
    told = {"where": book.where, "version": book.digest, "layers": layers, "tools": sorted(app.tools)}
    if cli.json:
        cli.answer({**told, "foreign": foreign, "later": later})
        return
    counts = ", ".join(f"{count} of the {name}" for name, count in layers.items())
    cli.out.print(f"{book.where}: {counts}; version {book.digest[:12]}", soft_wrap=True)
    if foreign:
        cli.note(f"Of wrapped agents: {', '.join(foreign)}.")
    for each in later:
        cli.note(
            f"What {each['from']} brings to {each['agent']} is known when it runs: policies cannot name its arguments."
        )
    if app.policies.starter and folder is None:
        cli.note("The starter set holds, as tools have labels and there is no folder of policies.")


@command(policy, "ls")
async def ls(cli: Cli, folder: Folder = None) -> None:
    """List the policies: what each permits or forbids, who may open its gate, and where it stands."""
    app = cli.load_app()
    try:
        book = book_of(app, folder)
    finally:
        await app.close()
    found = [
        {
            "id": each.id,
            "layer": layer,
            "effect": each.effect,
            "role": each.role,
            "quorum": each.quorum if each.gated else None,
            "reason": each.reason,
            "place": each.statement.place(),
            "text": each.statement.text,
        }
        for layer, policies in book.policies.all().items()
        for each in policies
    ]
    if cli.json:
        cli.answer(found)
        return
    from ..display.screen import listing

    rows: list[list[Any]] = []
    for each in found:
        gate = "" if each["role"] is None else f"{each['quorum']} × {each['role']}"
        rows.append([each["id"], each["layer"], each["effect"], gate, each["reason"], each["place"]])
    headings = ("policy", "layer", "effect", "gate", "why", "where")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((4, 0), (5, 0))))


@command(policy, "explain")
async def explain(
    cli: Cli,
    agent: Annotated[str, typer.Argument(metavar="AGENT", autocompletion=agent_names)],
    tool: Annotated[str, typer.Argument(metavar="TOOL")],
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", "--arg", metavar="NAME=VALUE", help="Of the call; JSON, or text."),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="On whose behalf.")] = None,
    grant: Annotated[list[str] | None, typer.Option("--grant", help="What the user may do.")] = None,
    approved: Annotated[
        list[str] | None, typer.Option("--approved", help="A role that has approved.")
    ] = None,
    called: Annotated[
        list[str] | None, typer.Option("--called", help="A tool that the run has called.")
    ] = None,
    seen: Annotated[
        list[str] | None, typer.Option("--seen", help="A label of what the run has read.")
    ] = None,
    untrusted: Annotated[
        list[str] | None,
        typer.Option("--untrusted", help="An argument that an untrusted source alone names."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence", min=0, max=1, help="How sure the model says that it is; certain if not given."
        ),
    ] = None,
    unknown: Annotated[
        list[str] | None, typer.Option("--unknown", help="What it says that it does not know.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--policies", metavar="FOLDER", help="Others than the app's.")
    ] = None,
) -> int:
    """Say what the policies would say of a call, and by which of them. Exit 0 where it is allowed, else 1."""
    from ...governance.policy.stated import Stated
    from ...governance.policy.verdict import Decision, judge
    from ..arguments import assignments

    app = cli.load_app()
    try:
        book = book_of(app, folder)
        app.find_agent(agent)
    finally:
        await app.close()
    from datetime import UTC, datetime

    from ...governance.policy.verdict import PolicyCall

    now = datetime.now(UTC)
    verdict = judge(
        book.policies,
        PolicyCall(
            agent=agent,
            tool=tool,
            arguments=assignments(argument or [], what="--argument"),
            tenant=app.tenant,
            user=user,
            verified=bool(grant),
            grants=frozenset(grant or ()),
            approvals=frozenset(approved or ()),
            called=frozenset(called or ()),
            seen=frozenset(seen or ()),
            untrusted=frozenset(untrusted or ()),
            unvouched=frozenset(untrusted or ()),
            stated=None if confidence is None else Stated(confidence, tuple(unknown or ()), said=True),
            hour=now.hour,
            weekday=now.isoweekday(),
        ),
    )
    places = {p.id: p.statement.place() for found in book.policies.all().values() for p in found}
    if cli.json:
        cli.answer(
            {**verdict.to_json(), "places": {id: places[id] for id in verdict.policies if id in places}}
        )
    else:
        from ...views.words import safe

        cli.out.print(
            f"{str(verdict.decision).replace('_', ' ')}: {safe(verdict.why) or 'it is permitted'}",
            soft_wrap=True,
        )
        for role, quorum in verdict.gates:
            cli.out.print(f"  asks {quorum} of `{role}`")
        for id in verdict.policies:
            cli.out.print(f"  by {id}  {places.get(id, '')}", soft_wrap=True)
        for error in verdict.errors:
            cli.out.print(f"  {safe(error)}", soft_wrap=True)
    return Exit.OK if verdict.decision == Decision.ALLOW else Exit.NOT_SO
