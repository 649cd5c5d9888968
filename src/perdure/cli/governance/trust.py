"""`perdure trust show|propose|sign|narrow|history`: how much agents do by themselves, and who said so."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, TrustRefused
from ...core.rings import ANY_ACTION
from ..approvals.signing import SignWith, default_key, open_key
from ..arguments import duration
from ..command import Cli, command, refuse_absent
from ..outcome import Exit
from ..runs.steer import By, operator
from ..tree import trust

if TYPE_CHECKING:
    from ...app import App
    from ...governance.trust import Evidence, Judged, TrustChange, TrustStanding

__all__: list[str] = []

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
SomeAgent = Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Of this agent; else of all.")]
Action = Annotated[
    str, typer.Argument(metavar="ACTION", help="A tool that changes something; `*`: all of them.")
]
SomeAction = Annotated[str | None, typer.Argument(metavar="[ACTION]", help="Of this tool.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the history.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="30d", help="Runs that began then or later; else since the last change."),
]


@command(trust, "show")
async def show(cli: Cli, agent: SomeAgent = None, action: SomeAction = None, since: Since = None) -> None:
    """List the rings of agents and their actions; of one action, also what its runs say for a wider one."""
    async with _app(cli) as app:
        if agent is not None and action is not None:
            standing = await app.trust.ring(agent, action)
            found = await app.trust.evidence(agent, action, since=_since(app, since))
            proposed = await app.trust.proposed(agent, action)
            _show_one(cli, standing, found, proposed)
            return
        standings = await app.trust.ls(agent)
        proposals = {(c.agent, c.action): c for c in await app.trust.proposed(agent)}
    if cli.json:
        cli.answer(
            [
                {
                    **s.to_json(),
                    "proposed": None if (c := proposals.get((s.agent, s.action))) is None else str(c.ring),
                }
                for s in standings
            ]
        )
        return
    if not standings:
        cli.note("no agent has a trust ring: give one `ring=`, or write the table `[trust]` (docs/trust.md)")
        return
    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Any]] = []
    for s in standings:
        waits = proposals.get((s.agent, s.action))
        rows.append(
            [
                safe(s.agent),
                safe(s.action),
                _ring(s),
                str(s.start),
                safe(_changed(s)),
                "" if waits is None else f"{waits.ring} waits for a signature",
            ]
        )
    headings = ("agent", "action", "ring", "began in", "changed", "proposed")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((4, 20), (5, 0))))


@command(trust, "propose")
async def propose(
    cli: Cli,
    agent: Agent,
    action: Action,
    ring: Annotated[str, typer.Argument(metavar="RING", help="The wider ring.")],
    since: Since = None,
    reason: Why = "",
    by: By = None,
) -> None:
    """Propose a wider ring, with what the journals say for it: what a person is to sign."""
    async with _app(cli) as app:
        change = await app.trust.propose(
            agent, action, ring, by=operator(by), reason=reason, since=_since(app, since)
        )
    if cli.json:
        cli.answer({**change.told(), "digest": change.digest})
        return
    _show_change(cli, change)
    cli.note(f"to sign it: {cli.hint('trust', 'sign', agent, action)}")


@command(trust, "sign")
async def sign(
    cli: Cli,
    agent: Agent,
    action: Action,
    sign_with: SignWith = None,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="HEX", help="Of what you saw: nothing else is signed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
) -> None:
    """Widen a ring as it was proposed, with the signature of your key over the change and its evidence."""
    from ...governance.trust.signing import sign_change

    path = sign_with or default_key()
    async with _app(cli) as app:
        change = next(iter(await app.trust.proposed(agent, action)), None)
        if change is None:
            raise TrustRefused(
                f"no wider ring is proposed for `{agent}` and `{action}`: "
                f"`{cli.hint('trust', 'propose', agent, action, 'RING')}` does that"
            )
        if digest is not None and (len(digest) < 8 or not change.digest.startswith(digest)):
            raise TrustRefused(
                f"what is proposed has the digest `{change.digest[:12]}`, and not `{digest[:12]}`: look again"
            )
        if not cli.json:
            _show_change(cli, change)
        if digest is None and not yes and not typer.confirm("Sign that?", err=True):
            raise ConfigError("nothing was signed")
        key = open_key(path)
        record = await app.trust.sign(agent, action, by=key.user, proof=sign_change(change, key))
    cli.done(
        f"{agent}, {action}: {record.before} → {record.ring}, signed by {record.by}",
        {**record.told(), "hash": record.hash},
    )


@command(trust, "narrow")
async def narrow(
    cli: Cli,
    agent: Agent,
    action: Annotated[
        str, typer.Argument(metavar="[ACTION]", help="A tool; without it all actions.")
    ] = ANY_ACTION,
    to: Annotated[str | None, typer.Option("--to", metavar="RING", help="To this ring; else by one.")] = None,
    reason: Why = "",
    by: By = None,
) -> None:
    """Narrow a ring at once: it holds for every call that begins from now on, on every worker. No signature."""
    async with _app(cli) as app:
        record = await app.trust.narrow(agent, action, reason=reason, by=operator(by), to=to)
        standing = await app.trust.ring(agent, action)
    told = None if record is None else {**record.told(), "hash": record.hash}
    said = "it was as narrow already" if record is None else f"{record.before} → {record.ring}"
    cli.done(f"{agent}, {action}: {said}", {"ring": str(standing.ring), "record": told})


@command(trust, "history")
async def history(cli: Cli, agent: SomeAgent = None, action: SomeAction = None) -> int:
    """List how rings were changed: when, by whom, from what to what, why, and whether a signature is good.

    Exit 1 where a record does not count: it was forged, or altered.
    """
    async with _app(cli) as app:
        standings = [
            await app.trust.ring(*pair)
            for pair in sorted(await app.trust.kept.known(app.tenant, agent))
            if action in (None, pair[1])
        ]
    judged = sorted((j for s in standings for j in s.records), key=lambda j: j.record.at)
    torn = [s for s in standings if s.problem and not any(j.problem for j in s.records)]
    if cli.json:
        cli.answer([*(j.to_json() for j in judged), *(s.to_json() for s in torn)])
    elif not standings:
        cli.note("nobody has changed a ring: all hold that agents began in")
    else:
        _list(cli, judged, torn)
    return Exit.NOT_SO if torn or any(j.problem for j in judged) else Exit.OK


@asynccontextmanager
async def _app(cli: Cli) -> AsyncGenerator[App]:
    """The program's own app, which knows where its agents begin; without a program what the settings say."""
    if cli.target() is None:
        async with cli.opened() as app:
            yield app
        return
    app = cli.load_app()
    refuse_absent(app.store.url)
    await app.open()
    try:
        yield app
    finally:
        await app.close()


def _since(app: App, since: str | None) -> int | None:
    if since is None:
        return None
    return app.store.now() - int(duration(since, what="--since").total_seconds() * 1e6)


def _ring(standing: TrustStanding) -> Any:
    from rich.text import Text

    return Text(str(standing.ring), style="bold red" if standing.problem else "bold")


def _changed(standing: TrustStanding) -> str:
    if standing.problem:
        return f"NOT AS WRITTEN: {standing.problem}"
    last = standing.capped or standing.last
    if last is None:
        return ""
    from ...core.clock import from_micros

    what = "signed" if last.proof is not None else "narrowed"
    return f"{from_micros(last.at):%Y-%m-%d %H:%M} {what} by {last.by}" + (
        f": {last.reason}" if last.reason else ""
    )


def _show_one(cli: Cli, standing: TrustStanding, found: Evidence, proposed: list[TrustChange]) -> None:
    if cli.json:
        cli.answer(
            {
                **standing.to_json(),
                "evidence": found.told(),
                "proposed": [{**c.told(), "digest": c.digest} for c in proposed],
            }
        )
        return
    from ...views.words import safe

    lines = [f"{standing.agent}, {standing.action}: {standing.ring} (began in {standing.start})"]
    if changed := _changed(standing):
        lines.append(f"  {changed}")
    lines += [f"  {line}" for line in _words(found.told())]
    for line in lines:
        cli.out.print(safe(line), soft_wrap=True, markup=False, highlight=False)
    for change in proposed:
        _show_change(cli, change)


def _show_change(cli: Cli, change: TrustChange) -> None:
    from ...views.words import safe

    lines = [
        f"proposed by {change.proposed_by}: {change.agent}, {change.action}: {change.before} → {change.ring}",
        *([f"  {change.reason}"] if change.reason else []),
        *(f"  {line}" for line in _words(change.evidence)),
        f"  digest {change.digest}",
    ]
    for line in lines:
        cli.out.print(safe(line), soft_wrap=True, markup=False, highlight=False)


def _words(evidence: Any) -> list[str]:
    """What speaks for it, in words."""
    why = ", ".join(f"{count} {name}" for name, count in evidence["why"].items())
    failures = f"{evidence['failures']} failed" + (f" ({why})" if why else "")
    lines = [
        f"{evidence['runs']} runs that were judged, with {evidence['calls']} calls; {failures}",
        f"sure at {evidence['confidence']:.0%}: at least {evidence['rate']:.2%} of runs go well",
    ]
    if evidence["unjudged"]:
        lines.append(f"{evidence['unjudged']} runs were judged by nothing and nobody, and do not count")
    if evidence["failed"]:
        lines.append(f"failed: {', '.join(evidence['failed'][:5])}")
    return lines


def _list(cli: Cli, judged: list[Judged], torn: list[TrustStanding]) -> None:
    from rich.text import Text

    from ...core.clock import from_micros
    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Any]] = []
    for each in judged:
        record = each.record
        rows.append(
            [
                f"{from_micros(record.at):%Y-%m-%d %H:%M}",
                safe(record.agent),
                safe(record.action),
                f"{record.before} → {record.ring}",
                safe(f"signed by {record.by}" if record.proof else record.by),
                Text(safe(each.problem), style="bold red") if each.problem else safe(record.reason),
            ]
        )
    rows += [
        ["", safe(s.agent), safe(s.action), "", "", Text(safe(s.problem), style="bold red")] for s in torn
    ]
    headings = ("at", "agent", "action", "ring", "by", "why")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((5, 20), (4, 12))))
