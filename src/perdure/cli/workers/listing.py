"""`perdure workers ls`: who works on this store, and what waits for nobody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..command import Cli, command
from ..tree import workers

if TYPE_CHECKING:
    from ...journal import Demand, SessionRecord, WaitReason

__all__ = ["demand_name"]


@command(workers, "ls")
async def ls(cli: Cli) -> None:
    """List workers that are alive, what they serve and hold, and the runs that none of them can run."""
    from ...engines.stranded import why_stranded
    from ...journal import unserved

    async with cli.opened() as app:
        sessions = await app.store.sessions()
        stranded = unserved(await app.store.demands(counted=True), sessions)
        now = app.store.now()
    if cli.json:
        told = [{**_demand_json(d), "reason": r.value, "why": why_stranded(d, r)} for d, r in stranded]
        cli.answer({"workers": [_session_json(s) for s in sessions], "stranded": told})
        return
    if sessions:
        _list_sessions(cli, sessions, now)
    else:
        cli.note(f"no worker is alive; `{cli.hint('worker', app=True)}` starts one")
    if stranded:
        if sessions:
            cli.out.print()
        _list_stranded(cli, stranded, now)
        for demand, reason in stranded if sessions else ():
            cli.note(why_stranded(demand, reason))


def demand_name(demand: Demand) -> str:
    """`greeter@2`, `greeter@2 with gpu region=eu`."""
    needs = f" with {' '.join(demand.needs)}" if demand.needs else ""
    return f"{demand.agent}@{demand.version}{needs}"


def _list_sessions(cli: Cli, sessions: Iterable[SessionRecord], now: int) -> None:
    from rich.text import Text

    from ...views.words import ago, safe, short_span
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(s.id, style="bold"),
            safe(s.label),
            f"{s.runs}/{s.concurrency}",
            short_span(max(s.expires - now, 0)),
            ago(s.since, now),
            safe(" ".join(sorted(s.labels))),
            safe(_served(s)),
        ]
        for s in sessions
    ]
    headings = ("worker", "where", "runs", "lease", "since", "labels", "agents")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((6, 12), (5, 0), (1, 0)), right=(2, 3)))


def _list_stranded(cli: Cli, stranded: Iterable[tuple[Demand, WaitReason]], now: int) -> None:
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(safe(demand_name(demand)), style="yellow"),
            str(demand.runs),
            "" if demand.since is None else ago(demand.since, now),
            reason.value,
        ]
        for demand, reason in stranded
    ]
    cli.out.print(listing(("due, and nobody can run", "runs", "since", "reason"), rows, cli.out, right=(1,)))


def _served(session: SessionRecord) -> str:
    """`greeter@1,2 writer@1`."""
    versions: dict[str, list[str]] = {}
    for agent, version in session.agents:
        versions.setdefault(agent, []).append(version)
    return " ".join(f"{agent}@{','.join(of)}" for agent, of in versions.items()) or "(one run, alone)"


def _session_json(session: SessionRecord) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "worker": session.id,
        "where": session.label,
        "agents": [{"agent": agent, "version": version} for agent, version in session.agents],
        "labels": sorted(session.labels),
        "runs": session.runs,
        "concurrency": session.concurrency,
        "lease_until": iso(session.expires),
        "since": iso(session.since),
    }


def _demand_json(demand: Demand) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "agent": demand.agent,
        "version": demand.version,
        "needs": list(demand.needs),
        "runs": demand.runs,
        "since": iso(demand.since),
    }
