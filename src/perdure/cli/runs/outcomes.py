"""`perdure outcome RUN`: what became of a run, said from outside."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..tree import root
from .listing import RunId
from .steer import By, operator

__all__: list[str] = []


@command(root, "outcome", rich_help_panel="Look and steer")
async def outcome(
    cli: Cli,
    run: RunId,
    met: Annotated[
        bool | None, typer.Option("--met/--not-met", help="Whether the goal of the run was met.")
    ] = None,
    evidence: Annotated[
        str | None, typer.Option("--evidence", help="How it is known: text, JSON, or a link.")
    ] = None,
    by: By = None,
) -> None:
    """Say what became of a run that has ended, or show what was said; the last word counts."""
    from ...views.story import outcome_text
    from ...views.words import ago, iso
    from ..display.follow import record_of

    async with cli.opened() as app:
        record = await record_of(app, run)
        if met is not None:
            shown = None if evidence is None else _value(evidence)
            await app.outcome(run, met, by=operator(by), evidence=shown)
        elif evidence is not None:
            raise ConfigError("`--evidence` of what? say `--met` or `--not-met` too")
        said = await app.outcomes(run)
        now = app.store.now()
    if cli.json:
        told = [{"met": o.met, "by": o.by, "evidence": o.evidence, "at": iso(o.at)} for o in said]
        cli.answer({"run": record.ref.id, "met": said[-1].met if said else None, "outcomes": told})
        return
    if not said:
        cli.note(f"nothing is known of {run} yet: {cli.hint('outcome', run, '--met', '--evidence', 'WHY')}")
    for o in said:
        cli.done(
            f"{ago(o.at, now)}: {outcome_text({'met': o.met, 'by': o.by, 'evidence': o.evidence})}", None
        )


def _value(text: str) -> object:
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else text
    except ValueError:
        return text
