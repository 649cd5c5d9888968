"""`perdure policy plan RUN|PLAN`: a whole plan before the policies, step by step, before anything of it is done."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command, refuse_absent
from ..complete import run_ids
from ..outcome import Exit
from ..tree import policy
from .policy import book_of

if TYPE_CHECKING:
    from ...app import App
    from ...governance.policy.plans import Judged

__all__: list[str] = []

_FILES = (".yaml", ".yml", ".json")


@command(policy, "plan")
async def plan(
    cli: Cli,
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PLAN",
            help="A file of calls (YAML, JSON), or a run whose calls are judged anew.",
            autocompletion=run_ids,
        ),
    ],
    folder: Annotated[
        Path | None, typer.Option("--policies", metavar="FOLDER", help="Others than the app's.")
    ] = None,
) -> int:
    """Judge a whole plan step by step: what would be allowed, asked for, denied, and why.

    Steps before count as done. Exit 1 where any step would not simply be allowed.
    """
    file = Path(what) if what.endswith(_FILES) else None
    app = cli.load_app()
    try:
        found = await _of_run(app, what, folder) if file is None else _of_file(app, file, folder)
    finally:
        await app.close()
    if cli.json:
        cli.answer({"ok": all(s.allowed for s in found), "steps": [_told(s) for s in found]})
    else:
        _show(cli, found)
    return Exit.OK if all(s.allowed for s in found) else Exit.NOT_SO


def _of_file(app: App, file: Path, folder: Path | None) -> list[Judged]:
    from ...governance.policy.plans import judged, read_plan

    given = read_plan(file)
    app.find_agent(given.agent)
    return list(judged(book_of(app, folder), given, at=datetime.now(UTC)))


async def _of_run(app: App, run: str, folder: Path | None) -> list[Judged]:
    from ...governance.policy.plans import recorded_steps
    from ..display.follow import record_of

    refuse_absent(app.store.url)
    book = book_of(app, folder)
    await app.open()
    record = await record_of(app, run)
    if folder is None:  # what holds now may have been changed since the app was deployed
        book = (await app.policies.versions().now(record.ref.tenant)).book or book
    found = list(
        recorded_steps(book, await app.store.read(record.ref), agent=record.agent, tenant=record.ref.tenant)
    )
    if not found:
        raise ConfigError(f"run `{run}` has called no tool: there is nothing to judge")
    return found


def _told(step: Judged) -> dict[str, Any]:
    verdict = {"decision": "unknown"} if step.verdict is None else step.verdict.to_json()
    told = {"step": step.step, "tool": step.tool, "arguments": step.arguments, **verdict}
    return told if step.before is None else {**told, "before": step.before}


def _show(cli: Cli, found: list[Judged]) -> None:
    from ...views.words import one_line, pretty

    for step in found:
        arguments = "…" if step.arguments is None else pretty(step.arguments, limit=120)
        verdict = step.verdict
        said = "cannot be told" if verdict is None else str(verdict.decision).replace("_", " ")
        if verdict is not None and verdict.evidence:
            said = "more evidence first"
        was = "" if step.before is None else f" (then: {step.before.replace('_', ' ')})"
        cli.out.print(
            f"{step.step}  {one_line(step.tool)} {one_line(arguments)}: {said}{was}",
            markup=False,
            soft_wrap=True,
        )
        if verdict is None:
            cli.out.print("    its arguments are in no journal, as no policy looked at them then")
            continue
        if verdict.decision != "allow":
            cli.out.print(f"    {one_line(verdict.why)}", markup=False, soft_wrap=True)
        for role, quorum in verdict.gates:
            cli.out.print(f"    asks {quorum} of `{one_line(role)}`", markup=False)
        if verdict.policies:
            cli.out.print(f"    by {', '.join(verdict.policies)}", markup=False, soft_wrap=True)
        for error in verdict.errors:
            cli.out.print(f"    {one_line(error)}", markup=False, soft_wrap=True)
