"""`perdure cost`: what runs have cost, by agent, model, tool, part, tenant, label, run, outcome, status or period."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..arguments import labels
from ..command import Cli, command
from ..complete import agent_names, run_ids, statuses
from ..runs.bulk import moment
from ..tree import root

if TYPE_CHECKING:
    from ...app import App
    from ...core.ids import RunRef
    from ...governance import Amount, Charged
    from ...journal import RunQuery, RunRecord

__all__: list[str] = []

_GROUPS = (
    "agent",
    "model",
    "tool",
    "part",
    "tenant",
    "run",
    "outcome",
    "status",
    "hour",
    "day",
    "week",
    "month",
)
_COLUMNS = ("money", "input_tokens", "output_tokens", "model_calls", "tool_calls")
_OUTCOMES = {True: "met", False: "not-met", None: "unknown"}
_TAKEN_AWAY = "(taken away)"


@command(root, "cost")
async def cost(
    cli: Cli,
    by: Annotated[str, typer.Option("--by", help=f"{', '.join(_GROUPS)}, or `label:NAME`.")] = "agent",
    run: Annotated[
        str | None,
        typer.Option("--run", help="Of this run and those that it started.", autocompletion=run_ids),
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Of this agent alone.", autocompletion=agent_names)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="Of runs so labelled; repeatable.")
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help="Of runs that stand so; repeatable.", autocompletion=statuses),
    ] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="Of runs that met their goal: met, not-met or unknown.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="30d", help="Charged then or later; a time, or so long ago."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="1d", help="Charged before; as --since.")
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As comma-separated values.")] = False,
) -> None:
    """What runs have cost, from their journals, pruned ones included. A child's cost is its own. Periods are UTC."""
    from ...journal import RunQuery, RunStatus

    if by not in _GROUPS and not by.startswith("label:"):
        raise ConfigError(f"`--by {by}` is not one of {', '.join(_GROUPS)}, label:NAME")
    if outcome not in (None, *_OUTCOMES.values()):
        raise ConfigError(f"outcome `{outcome}` is not one of {', '.join(_OUTCOMES.values())}")
    for given in status or ():
        if given not in set(RunStatus):
            raise ConfigError(f"status `{given}` is not one of {', '.join(RunStatus)}")
    wanted, bill = labels(label or ()), _Bill(by)
    async with cli.opened() as app:
        now = app.store.now()
        query = RunQuery(
            tenant=None if all_tenants else app.tenant,
            agent=agent,
            labels=wanted,
            statuses=frozenset(RunStatus(s) for s in status or ()),
        )
        start = None if since is None else moment(since, now, what="--since")
        end = None if until is None else moment(until, now, what="--until")
        from ...governance import charges

        async for page in _pages(app, query, run):
            met = await app.last_outcomes([r.ref for r in page]) if outcome or by == "outcome" else {}
            chosen = [r for r in page if outcome is None or _OUTCOMES[met.get(r.ref)] == outcome]
            async for charged in charges(app.store, chosen, since=start, until=end):
                bill.add(charged, met)
    _tell(cli, bill, as_csv=as_csv)


async def _pages(app: App, query: RunQuery, run: str | None) -> AsyncIterator[list[RunRecord]]:
    """The runs that are meant, by pages."""
    from ...governance import family, pages
    from ..display.follow import record_of

    if run is None:
        async for page in pages(app.store, query):
            yield page
        return
    yield [
        r
        for r in await family(app.store, await record_of(app, run))
        if query.agent in (None, r.agent)
        and (not query.statuses or r.status in query.statuses)
        and all(r.labels.get(name) == value for name, value in query.labels.items())
    ]


@dataclass
class _Group:
    """What was charged under one heading."""

    amount: Amount
    runs: set[RunRef] = field(default_factory=set["RunRef"])
    unpriced: int = 0
    estimated: int = 0

    def told(self) -> dict[str, Any]:
        from ...governance import decimal_text

        columns = {name: getattr(self.amount, name) for name in _COLUMNS}
        columns["money"] = decimal_text(self.amount.money)
        return {**columns, "runs": len(self.runs), "unpriced": self.unpriced, "estimated": self.estimated}


class _Bill:
    """Charges, added up by heading."""

    def __init__(self, by: str) -> None:
        from ...governance import Amount

        self.by = by
        self.groups: dict[str, _Group] = {}
        self.total = _Group(Amount())
        self.lost = 0
        """charges that were taken away"""
        self.lost_of: set[RunRef] = set()

    def add(self, charged: Charged, met: Mapping[RunRef, bool]) -> None:
        """One more."""
        from ...governance import Amount

        ref, line = charged.run.ref, charged.line
        if line is None:
            self.lost += 1
            self.lost_of.add(ref)
            return
        name = _heading(self.by, charged, met)
        for group in (self.groups.setdefault(name, _Group(Amount())), self.total):
            group.amount += line.amount
            group.runs.add(ref)
            group.unpriced += line.unpriced
            group.estimated += line.estimated

    def rows(self) -> list[tuple[str, _Group]]:
        """The dearest first; periods in their order."""
        if self.by in ("hour", "day", "week", "month"):
            return sorted(self.groups.items())
        return sorted(self.groups.items(), key=lambda item: (-item[1].amount.money, item[0]))


def _heading(by: str, charged: Charged, met: Mapping[RunRef, bool]) -> str:
    """What a charge is counted under; empty where it has none of that."""
    from ...core.clock import from_micros

    run, line = charged.run, charged.line
    assert line is not None
    match by:
        case "agent":
            return run.agent
        case "model" | "tool":
            return line.name if line.what == by else ""
        case "part":
            return line.part or "work"
        case "tenant":
            return run.ref.tenant
        case "run":
            return str(run.ref)
        case "status":
            return str(run.status)
        case "outcome":
            return _OUTCOMES[met.get(run.ref)]
        case "week":
            year, week, _ = from_micros(charged.at).isocalendar()
            return f"{year}-W{week:02}"
        case "hour" | "day" | "month":
            form = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[by]
            return from_micros(charged.at).strftime(form)
        case _:
            return run.labels.get(by.removeprefix("label:"), "")


def _tell(cli: Cli, bill: _Bill, *, as_csv: bool) -> None:
    lost = {"charges": bill.lost, "runs": len(bill.lost_of)}
    found = [{bill.by: name, **group.told()} for name, group in bill.rows()]
    headings = [bill.by, *_COLUMNS, "runs", "unpriced", "estimated"]
    if as_csv:
        table = csv.DictWriter(sys.stdout, headings, restval="")
        table.writeheader()
        table.writerows(found)
        if bill.lost:  # a sum that leaves something out says so, also to a spreadsheet
            table.writerow({bill.by: _TAKEN_AWAY, "runs": lost["runs"]})
    elif cli.json:
        cli.answer({"by": bill.by, "rows": found, "total": bill.total.told(), "taken_away": lost})
    elif not found:
        cli.note("nothing was charged")
    else:
        _table(cli, headings, bill)
    if bill.lost:
        cli.note(
            f"not counted: {bill.lost} charges of {len(bill.lost_of)} runs, which an earlier release pruned away"
        )


def _table(cli: Cli, headings: list[str], bill: _Bill) -> None:
    from ...governance import dollars
    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Any]] = []
    groups = bill.rows()
    for name, group in [*groups, *([("in all", bill.total)] if len(groups) > 1 else [])]:
        told = group.told()
        numbers = [f"{told[column]:,}" if told[column] else "" for column in headings[2:]]
        rows.append([safe(name) or "(none)", dollars(group.amount.money), *numbers])
    right = tuple(range(1, len(headings)))
    shown = [name.replace("_", " ") for name in headings]
    cli.out.print(listing(shown, rows, cli.out, squeeze=((8, 0), (5, 0), (6, 0), (0, 10)), right=right))
