"""`perdure series ls|show NAME`: what runs have done of a goal, and what they leave for the next."""

from __future__ import annotations

from typing import Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..tree import series

__all__: list[str] = []


@command(series, "ls")
async def ls(cli: Cli) -> None:
    """List the series: how many items are done, and what is left."""
    async with cli.opened() as app:
        found = [await app.handover(name) for name in await app.series()]
    if cli.json:
        cli.answer(
            [
                {
                    "series": h.series,
                    "runs": h.number - 1,
                    "items": len(h.items),
                    "done": len(h.done),
                    "half_done": len(h.half_done),
                    "open": len(h.open),
                    "failed": len(h.failed),
                }
                for h in found
            ]
        )
        return
    if not found:
        cli.note('no run is of a series; start one with `app.start(..., series="NAME")`')
        return
    from rich.text import Text

    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(safe(h.series), style="bold"),
            str(h.number - 1),
            f"{len(h.done)} of {len(h.items)}",
            str(len(h.half_done)),
            str(len(h.open)),
            str(len(h.failed)),
        ]
        for h in found
    ]
    headings = ("series", "runs", "done", "half done", "to do", "given up")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((0, 12),), right=(1, 2, 3, 4, 5)))
    cli.note(cli.hint("series", "show", "NAME"))


@command(series, "show")
async def show(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The series.")],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The page as Markdown, for a file or a prompt.")
    ] = False,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="SUBJECT", help="As its runs for this person find it.")
    ] = None,
) -> None:
    """Show what was done, half done, given up and tried in vain, as the next run will find it."""
    if markdown and cli.json:
        raise ConfigError("`--markdown` and `--json` are two forms of one answer: leave one out")
    async with cli.opened() as app:
        found = await app.handover(name, subject=subject)
    if cli.json:
        cli.answer(found.model_dump(mode="json"))
        return
    if markdown:
        cli.out.file.write(found.markdown())
        return
    from rich.markdown import Markdown

    cli.out.print(Markdown(found.markdown(), hyperlinks=False))
