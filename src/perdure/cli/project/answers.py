"""`perdure answers AGENT`: the five questions that an agent in production must answer, from what its runs have left."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ..command import Cli, command
from ..complete import agent_names
from ..tree import root

__all__: list[str] = []

_SIGNS = {"yes": ("✓", "green"), "partly": ("~", "yellow"), "not yet": ("·", "red")}


@command(root, "answers", rich_help_panel="Look and steer")
async def answers(
    cli: Cli,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Its name.", autocompletion=agent_names)],
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Its runs of every tenant.")] = False,
) -> None:
    """Answer the five questions about an agent from evidence, or with "not yet" and what to do."""
    from ...telemetry import Projector
    from ...views.answers import answers as asked

    async with cli.opened() as app:
        await Projector(app.store).bring_up()
        found = await asked(app, agent, tenant=None if all_tenants else app.tenant)
    if cli.json:
        cli.answer({"agent": agent, "answers": [asdict(answer) for answer in found]})
        return
    from rich.text import Text

    from ...views.words import safe

    for n, answer in enumerate(found, 1):
        sign, style = _SIGNS[answer.state]
        cli.out.print(Text.assemble(("\n" if n > 1 else ""), (f"{n}. {answer.question}", "bold")))
        cli.out.print(Text.assemble((f"   {sign} {answer.state}: ", style), safe(answer.said)))
        for seen in answer.evidence:
            cli.out.print(
                Text.assemble((f"     {safe(seen.what)}: ", "dim"), safe(seen.value)), soft_wrap=True
            )
        if answer.todo is not None:
            cli.out.print(Text.assemble(("   → ", "yellow"), safe(answer.todo)))
