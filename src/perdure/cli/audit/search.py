"""`perdure audit who-did|log`: who did something, for whom, who let it, and whether it worked."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..complete import agent_names
from ..runs.bulk import moment
from ..tree import audit

if TYPE_CHECKING:
    from rich.text import Text

    from ...app import App
    from ...audit import Deed, Enquiry, Fact, Selection

__all__ = ["Agent", "From", "Person", "To", "looking", "looks_written_up", "selection"]

From = Annotated[
    str | None, typer.Option("--since", "--from", metavar="3d", help="Then or later; a time, or so long ago.")
]
To = Annotated[str | None, typer.Option("--until", "--to", metavar="1h", help="Before; as --since.")]
Agent = Annotated[str | None, typer.Option("--agent", help="Only this agent.", autocompletion=agent_names)]
Person = Annotated[
    str | None, typer.Option("--person", metavar="NAME", help="For them, or with their word: `user:ann`.")
]


def selection(
    app: App,
    *,
    run: str | None = None,
    agent: str | None = None,
    person: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Selection:
    """What was typed, as it is asked of the store. Raises `ConfigError`."""
    from ...audit import Selection

    now = app.store.now()
    return Selection(
        tenant=app.tenant,
        run=None if run is None else app.ref(run).id,
        agent=agent,
        person=person,
        since=None if since is None else moment(since, now, what="--from"),
        until=None if until is None else moment(until, now, what="--to"),
    )


async def looks_written_up(app: App) -> None:
    """Have journals tell who has looked at payloads until now, at a server of this store."""
    from ...access.viewings import Viewings

    await Viewings(app).write_up(tenant=app.tenant, all=True)


@contextmanager
def looking(cli: Cli) -> Generator[Callable[[int], None]]:
    """Say on a terminal how many runs were looked through."""
    if cli.json or not cli.err.is_terminal:
        yield lambda runs: None
        return
    with cli.err.status("looking through the runs") as status:
        seen = 0

        def looked(runs: int) -> None:
            nonlocal seen
            seen += runs
            status.update(f"{seen} runs looked through")

        yield looked


@command(audit, "who-did")
async def who_did(
    cli: Cli,
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="A tool's name, or a pattern in quotes: 'pay*'.")
    ],
    since: From = None,
    until: To = None,
    agent: Agent = None,
    person: Person = None,
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", metavar="NAME=VALUE", help="Only with this argument; repeatable."),
    ] = None,
    reads: Annotated[bool, typer.Option("--reads", help="Also calls that change nothing.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="About so many, the newest first.")] = 50,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="RUN", help="The next page: of runs older than this one."),
    ] = None,
) -> None:
    """Say which agent did it, on whose behalf, who approved it and what they saw, and whether it worked."""
    from ...audit import Done, deeds_of
    from ..display.follow import record_of

    asked = Done(tool=action, arguments=_pairs(argument or ()), reads=reads)
    found: list[Deed] = []
    following: str | None = None
    async with cli.opened() as app:
        await looks_written_up(app)
        wanted = selection(app, agent=agent, person=person, since=since, until=until)
        last = None if before is None else (await record_of(app, before)).rid
        with looking(cli) as looked:
            async for record, deeds in deeds_of(app.store, asked, wanted, before=last, looked=looked):
                found += deeds
                if len(found) >= limit:
                    following = record.ref.id
                    break
    if cli.json:
        cli.answer({"calls": [deed.to_json() for deed in found], "next": following})
        return
    if not found:
        hint = "" if reads else "; calls that only read are listed with --reads"
        cli.note(f"nobody did `{action}`, as far as this store's journals tell{hint}")
    for deed in found:
        cli.out.print(_deed_text(deed), soft_wrap=True)
    if following is not None:
        cli.note(f"there may be more: --before {following}")


def _pairs(given: list[str] | tuple[str, ...]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"argument `{text[:80]}` is not of the form `name=value`")
        pairs.append((name, value))
    return pairs


_STYLE = {"ok": "green", "failed": "red", "denied": "magenta", "in doubt": "yellow", "waiting": "yellow"}


def _deed_text(deed: Deed) -> Text:
    from rich.text import Text

    from ...views.words import iso, one_line, safe

    text = Text()
    text.append(f"{iso(deed.began)}  ", style="dim")
    text.append(_call(deed.tool, deed.arguments, erased=deed.erased), style="bold")
    text.append(f"  {deed.outcome}", style=_STYLE.get(deed.outcome, ""))
    if deed.why and deed.outcome != "ok":
        text.append(f": {one_line(deed.why)}")
    rows = [("by", f"agent:{deed.agent} version {deed.version}, in run {deed.ref.id}, step {deed.step}")]
    rows += [("for", deed.behalf or "nobody: the run was started without saying for whom")]
    for asked in deed.enquiries:
        rows += _asked(asked)
    if deed.attempts and not deed.enquiries:
        rows.append(("approval", "none was asked for"))
    if deed.settled_by:
        rows.append(("settled", f"whether it had happened was not known; found out by {deed.settled_by}"))
    if deed.key:
        rows.append(("key", deed.key))
    rows.append(
        ("entries", ", ".join(map(str, deed.entries)) + f"  (perdure runs show {deed.ref.id} --entries)")
    )
    for name, said in rows:
        text.append(f"\n    {name:<9} ", style="dim")
        text.append(safe(said))
    return text.append("\n")


def _call(tool: str, arguments: Any, *, erased: bool = False) -> str:
    from ...views.words import pretty, safe

    if erased:
        return f"{safe(tool)}(erased)"
    if not isinstance(arguments, dict):
        return f"{safe(tool)}(…)" if arguments is None else f"{safe(tool)}({pretty(arguments, limit=300)})"
    named: dict[str, Any] = arguments  # pyright: ignore[reportUnknownVariableType]  # JSON
    return f"{safe(tool)}({', '.join(f'{safe(n)}={pretty(v, limit=200)}' for n, v in named.items())})"


def _asked(asked: Enquiry) -> list[tuple[str, str]]:
    from ...audit.telling import as_object
    from ...views.words import iso, one_line, strings_in, suspicious

    shown = as_object(asked.shown)
    fits = {True: "which is its digest", False: "WHICH IS NOT THE DIGEST OF THAT", None: "not to be checked"}
    rows: list[tuple[str, str]] = []
    said = {"approved": "approved", "denied": "denied", "defaulted": "nobody answered; a value stood in"}
    decision = said.get(asked.decision or "", asked.decision or "open")
    by = (
        f" by {asked.by}"
        if asked.by
        else ""
        if asked.decision not in ("approved", "denied")
        else " by nobody, in time"
    )
    why = f": {one_line(asked.reason)}" if asked.reason and asked.by else ""
    rows.append(
        (
            decision if decision in ("approved", "denied") else "asked",
            f"{decision}{by}, {iso(asked.decided_at or asked.asked_at)}{why}",
        )
    )
    if not asked.erased:
        call = _call(str(asked.tool), shown.get("arguments"))
        rows.append(("shown", f"{call}, {str(asked.digest)[:16]}…, {fits[asked.digest_fits]}"))
        if edited := as_object(asked.edited).get("arguments"):
            rows.append(("edited", f"to {_call(str(asked.tool), edited)}"))
        rows += [("beware", odd) for odd in suspicious(strings_in(asked.shown))]
    rows += [("refused", f"an answer of {r['by']}: {one_line(str(r['why']))}") for r in asked.refused]
    return rows


@command(audit, "log")
async def log(
    cli: Cli,
    since: From = None,
    until: To = None,
    agent: Agent = None,
    person: Person = None,
    run: Annotated[str | None, typer.Option("--run", help="Only this run.")] = None,
    what: Annotated[
        str | None, typer.Option("--what", metavar="PATTERN", help="Only such facts: 'approval.*'.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 100,
) -> None:
    """List what happened over all runs, in the order of time: each fact with who, for whom and what."""
    from fnmatch import fnmatchcase

    from ...audit import runs_of, story_in

    newest: list[tuple[int, str, Fact]] = []  # a heap: the oldest first
    async with cli.opened() as app:
        await looks_written_up(app)
        wanted = selection(app, run=run, agent=agent, person=person, since=since, until=until)
        with looking(cli) as looked:
            async for page in runs_of(app.store, wanted, looked=looked):
                for record in page:
                    if len(newest) == limit and record.updated_at < newest[0][0]:
                        continue
                    for fact in (await story_in(app.store, record)).facts:
                        if (
                            (not fact.quiet or what is not None)
                            and (what is None or fnmatchcase(fact.what, what))
                            and (wanted.since is None or fact.at >= wanted.since)
                            and (wanted.until is None or fact.at < wanted.until)
                        ):
                            push = heapq.heappush if len(newest) < limit else heapq.heappushpop
                            push(newest, (fact.at, f"{fact.id:>300}", fact))
    facts = [fact for _, _, fact in sorted(newest, key=lambda one: one[:2])]
    for fact in facts:
        if cli.json:
            cli.answer(fact.to_json())
        else:
            cli.out.print(_fact_text(fact), soft_wrap=True)
    if not facts:
        cli.note("nothing of that kind, as far as this store's journals tell")
    elif len(facts) == limit:
        cli.note(f"the newest {limit}; there may be more: --limit")


def _fact_text(fact: Fact) -> Text:
    from rich.text import Text

    from ...views.words import iso, one_line, safe

    text = Text()
    text.append(f"{iso(fact.at)}  ", style="dim")
    text.append(f"{fact.ref.id}  ", style="cyan")
    text.append(safe(fact.what), style="bold")
    for word in (fact.tool, fact.step if fact.step != fact.tool else None):
        text.append(f"  {safe(word)}" if word else "")
    if fact.outcome:
        text.append(f"  {safe(fact.outcome)}", style=_STYLE.get(fact.outcome, ""))
    who = f"  by {fact.by}" if fact.by else ""
    text.append(safe(who + (f" for {fact.behalf}" if fact.behalf and fact.behalf != fact.by else "")))
    if fact.why:
        text.append(f"  {one_line(fact.why)[:300]}", style="dim")
    if fact.erased:
        text.append("  erased", style="dim")
    return text
