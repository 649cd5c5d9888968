"""`perdure cost`: what runs have cost, by agent, model, tenant, label, run, outcome or period."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigError
from .arguments import duration, labels
from .command import Cli, command
from .tree import root

if TYPE_CHECKING:
    from ..app import App
    from ..governance import Line
    from ..journal import RunQuery, RunRecord

__all__: list[str] = []

_GROUPS = ("agent", "model", "tenant", "run", "outcome", "hour", "day", "week", "month")
_COLUMNS = ("money", "input_tokens", "output_tokens", "model_calls", "tool_calls")


@command(root, "cost")
async def cost(
    cli: Cli,
    by: Annotated[str, typer.Option("--by", help=f"{', '.join(_GROUPS)}, or `label:NAME`.")] = "agent",
    agent: Annotated[str | None, typer.Option("--agent", help="Of this agent alone.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Of runs so labelled, `key=value`.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Of this long ago at most, as `30d`.")] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As comma-separated values.")] = False,
) -> None:
    """What runs have cost, from their journals. Periods are UTC; charges of runs that were pruned are gone."""
    if by not in _GROUPS and not by.startswith("label:"):
        raise ConfigError(f"`--by {by}` is not one of {', '.join(_GROUPS)}, label:NAME")
    from ..core.clock import to_micros
    from ..governance.amounts import Amount
    from ..governance.money import from_nanos
    from ..journal import RunQuery

    sums: dict[str, Amount] = {}
    unpriced: dict[str, int] = {}
    estimated: dict[str, int] = {}
    pruned = 0
    async with cli.opened() as app:
        after = 0 if since is None else app.store.now() - to_micros(duration(since, what="`--since`"))
        tenant = None if all_tenants else app.tenant
        async for run, line in _charges(
            app, RunQuery(tenant=tenant, agent=agent, labels=labels(label or ()))
        ):
            if line is None:
                pruned += 1
            elif line.at >= after:
                name = _group(by, run, line)
                sums[name] = sums.get(name, Amount()) + line.amount
                unpriced[name] = unpriced.get(name, 0) + line.unpriced
                estimated[name] = estimated.get(name, 0) + line.estimated
    found: list[dict[str, Any]] = [
        {
            by: name,
            **{c: getattr(total, c) for c in _COLUMNS},
            "money": str(from_nanos(total.money)),
            "unpriced": unpriced[name],
            "estimated": estimated[name],
        }
        for name, total in sorted(sums.items(), key=lambda item: (-item[1].money, item[0]))
    ]
    headings = [by, *_COLUMNS, "unpriced", "estimated"]
    if as_csv:
        table = csv.DictWriter(sys.stdout, headings)
        table.writeheader()
        table.writerows(found)
        return
    if cli.json:
        cli.answer(found)
        return
    _table(cli, headings, found, sums, by)
    if pruned:
        cli.note(f"{pruned} runs were pruned: what they cost is not known any more")


def _table(cli: Cli, headings: list[str], found: list[dict[str, Any]], sums: dict[str, Any], by: str) -> None:
    from ..governance.money import dollars
    from .screen import listing
    from .words import safe

    if not found:
        cli.note("nothing was charged")
        return
    rows: list[list[Any]] = [
        [
            safe(row[by]),
            dollars(sums[row[by]].money),
            *(f"{row[name]:,}" if row[name] else "" for name in headings[2:]),
        ]
        for row in found
    ]
    right = range(1, len(headings))
    shown = [name.replace("_", " ") for name in headings]
    cli.out.print(listing(shown, rows, cli.out, squeeze=((7, 0), (5, 0), (0, 10)), right=tuple(right)))


async def _charges(app: App, query: RunQuery) -> AsyncIterator[tuple[RunRecord, Line | None]]:
    """Every charge with its run, a child's in the child's alone; None: the run was pruned."""
    from dataclasses import replace

    from ..governance import Ledger

    while True:
        page = await app.store.find(query)
        for record in page:
            if record.pruned_at is not None:
                yield record, None
                continue
            entries = [e for e in await app.store.read(record.ref) if not e.erased]
            for line in Ledger(entries).charges:
                if line.what != "child":
                    yield record, line
        if len(page) < query.limit:
            return
        query = replace(query, before=page[-1].rid)


def _group(by: str, run: RunRecord, line: Line) -> str:
    from ..core.clock import from_micros

    if by == "agent":
        return run.agent
    if by == "model":
        return line.name if line.what == "model" else f"{line.what} {line.name}"
    if by == "tenant":
        return run.ref.tenant
    if by == "run":
        return str(run.ref)
    if by == "outcome":
        return str(run.status)
    if by.startswith("label:"):
        return run.labels.get(by.removeprefix("label:"), "")
    at = from_micros(line.at)
    if by == "week":
        year, week, _ = at.isocalendar()
        return f"{year}-W{week:02}"
    return at.strftime({"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[by])
