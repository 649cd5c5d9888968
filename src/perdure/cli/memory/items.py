"""`perdure memory search|show|why|export`: what is remembered, where it comes from, and who was handed it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import memory

if TYPE_CHECKING:
    from rich.text import Text

    from ...app.memory_governance import Explained, FoundItem

__all__ = ["ItemId"]

ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="RUN/STEP: the write that put it there.")]
Layer = Annotated[str | None, typer.Option("--layer", help="Of this layer: session, working, knowledge.")]
Subject = Annotated[str | None, typer.Option("--subject", help="About this data subject.")]


@command(memory, "search")
async def search(
    cli: Cli,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="What stands in it.")] = "",
    layer: Layer = None,
    subject: Subject = None,
    run: Annotated[str | None, typer.Option("--run", help="Written by this run.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Under this label: `untrusted`.")] = None,
    after: Annotated[str, typer.Option("--after", help="Go on behind the last page: its `next`.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="About so many.", min=1, max=1000)] = 100,
) -> None:
    """List what agents remember, of all layers, each with the write that it comes from and its labels."""
    from ...views.memory import item_told

    async with cli.opened() as app:
        page = await app.memory.search(
            text, layer=layer, subject=subject, run=run, label=label, after=after, limit=limit
        )
        now = app.store.now()
    if cli.json:
        cli.answer({"items": [item_told(found) for found in page.items], "next": page.next})
        return
    if not page.items and not page.next:
        cli.note("nothing is remembered" + (" of that" if text or subject or run or label or layer else ""))
        return
    _listed(cli, page.items, now)
    if page.next:
        cli.note(f"there is more: add `--after '{page.next}'`")


@command(memory, "show")
async def show(cli: Cli, item: ItemId) -> None:
    """Show one item whole, with where it comes from."""
    from ...views.memory import explained_told
    from ...views.words import pretty, safe

    async with cli.opened() as app:
        told = await app.memory.why(item, runs=0)
    told_ = explained_told(told)
    if cli.json:
        cli.answer({key: told_[key] for key in ("id", "item", "proposal", "withdrawn", "run", "tool")})
        return
    _head(cli, told)
    if told.item is not None:
        cli.out.print(safe(pretty(told.item.content, limit=100_000)), markup=False)


@command(memory, "why")
async def why(
    cli: Cli,
    item: ItemId,
    runs: Annotated[
        int, typer.Option("--runs", help="Look through the journals of so many runs.", min=0, max=100_000)
    ] = 500,
) -> None:
    """Tell why an item is there: which run wrote it, having been told what, and which runs were handed it since."""
    from ...views.memory import explained_told
    from ...views.words import ago, safe

    async with cli.opened() as app:
        told = await app.memory.why(item, runs=runs)
        now = app.store.now()
    if cli.json:
        cli.answer(explained_told(told))
        return
    _head(cli, told)
    if told.written is None:
        cli.note("the journal of that run does not tell the write: it was pruned, or erased")
    before = "before it wrote, the run had been told"
    cli.out.print(f"{before}:" if told.read else f"{before} nothing")
    for read in told.read:
        more = f": {len(read.recalled)} items of memory" if read.recalled else ""
        labels = f" ({', '.join(read.labels)})" if read.labels else ""
        cli.out.print(f"  {safe(read.step)}{more}{safe(labels)}, {ago(read.at, now)}", markup=False)
        for id in read.recalled[:10]:
            cli.out.print(f"    {safe(id)}", markup=False)
    cli.out.print("since then it was handed to:" if told.recalls else "since then it was handed to nobody")
    for r in told.recalls:
        score = "" if r.score is None else f", score {r.score:.3f}"
        who = f"  {safe(r.run)} ({safe(r.agent)}), {safe(r.step)}"
        cli.out.print(f"{who}, as number {r.rank}{score}, {ago(r.at, now)}", markup=False)
    if not told.complete:
        cli.note(f"looked through the newest {told.looked} runs; `--runs` looks further")


@command(memory, "export")
async def export(
    cli: Cli,
    subject: Annotated[
        str | None, typer.Argument(metavar="[SUBJECT]", help="About whom; the whole tenant if not given.")
    ] = None,
    by: By = None,
) -> None:
    """Print what is remembered about a data subject, or of the whole tenant, as JSON lines. It is recorded who asks."""
    from ...views.memory import item_told

    count = 0
    async with cli.opened() as app:
        async for found in app.memory.export(subject, by=operator(by)):
            count += 1
            print(json.dumps(item_told(found), ensure_ascii=False))
    if not count:
        cli.note("nothing is remembered" + (f" about `{subject}`" if subject else ""))


def _listed(cli: Cli, items: Any, now: int) -> None:
    from rich.text import Text

    from ...views.memory import gist
    from ...views.words import ago, safe
    from ..display.screen import listing

    found: list[FoundItem] = list(items)
    rows: list[list[Text | str]] = [
        [
            Text(safe(f.item.id), style="dim strike" if f.hold else "bold"),
            f.item.kind,
            safe(f.item.place),
            safe(f.item.whose.subject or ""),
            safe(gist(f.item.content)),
            safe(", ".join(f.item.origin.labels)) + (" withdrawn" if f.hold else ""),
            ago(f.item.at, now),
        ]
        for f in found
    ]
    columns = ("item", "kind", "place", "subject", "content", "labels", "written")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((4, 20), (0, 20), (2, 12))))


def _head(cli: Cli, told: Explained) -> None:
    from ...views.words import safe

    if told.item is not None:
        item = told.item
        whose = f" about {item.whose.subject}" if item.whose.subject else ""
        whose += f", of {item.whose.agent} alone" if item.whose.agent else ""
        cli.out.print(
            f"{safe(told.id)}: {item.layer}, {item.kind}, {safe(item.place)}{safe(whose)}", markup=False
        )
        labels = ", ".join(item.origin.labels) or "none"
        cli.out.print(f"labels: {safe(labels)}", markup=False)
    else:
        cli.out.print(f"{safe(told.id)}: in no layer", markup=False)
    if told.run is not None:
        by = f", started by {told.run.principal}" if told.run.principal else ""
        cli.out.print(
            f"written by run {safe(told.run.ref.id)} of {safe(told.run.agent)}{safe(by)}, by "
            f"{told.written.tool if told.written else 'a step that its journal does not tell'}",
            markup=False,
        )
    if (proposal := told.proposal) is not None:
        decided = f"by {proposal.by}" + (f": {proposal.why}" if proposal.why else "")
        state = (
            "waits for a review"
            if proposal.state in ("waits", "accepting")
            else f"{proposal.state} {decided}"
        )
        cli.out.print(f"review: {safe(state)}", markup=False)
    if (hold := told.hold) is not None:
        cli.out.print(f"withdrawn by {safe(hold.by)}: {safe(hold.why)}", markup=False)
