"""`perdure approvals ls|show|approve|deny`: questions that wait for a human, and their answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigError, RunConflict, UnknownStep
from .arguments import json_value
from .command import Cli, command
from .complete import run_ids
from .runs import RunId
from .steer import By, operator
from .tree import approvals

if TYPE_CHECKING:
    from ..app import App
    from ..journal import Approval

__all__ = ["StepName"]

StepName = Annotated[
    str | None, typer.Argument(metavar="[STEP]", help="The step that asks; not needed where only one does.")
]


@command(approvals, "ls")
async def ls(
    cli: Cli,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only its questions.", autocompletion=run_ids)
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
) -> None:
    """List open questions, the oldest first."""
    async with cli.opened() as app:
        tenant = None if all_tenants else app.tenant
        found = await app.store.approvals(tenant=tenant, ref=None if run is None else app.ref(run))
        now = app.store.now()
    if cli.json:
        cli.answer([_json(a) for a in found])
        return
    if not found:
        cli.note("no question stands open")
        return
    from rich.text import Text

    from .screen import listing
    from .words import ago, one_line, safe

    rows = [
        [
            Text(str(a.ref), style="bold"),
            Text(safe(a.step)),
            ago(a.opened_at, now),
            "" if a.due is None else ago(a.due, now),
            Text(one_line(a.question)),
        ]
        for a in found
    ]
    headings = ("run", "step", "asked", "answer", "question")
    table = listing(headings, rows, cli.out, squeeze=((4, 20), (3, 0), (0, 12)))
    cli.out.print(table)
    cli.note(cli.hint("approvals", "show", found[0].ref.id, found[0].step))


@command(approvals, "show")
async def show(cli: Cli, run: RunId, step: StepName = None) -> None:
    """Show what is asked, with nothing hidden in it."""
    async with cli.opened() as app:
        approval = await _open_question(app, run, step)
        now = app.store.now()
    if cli.json:
        cli.answer(_json(approval))
        return
    from rich.text import Text

    from .show import answers, question_text
    from .words import ago

    shown: dict[str, Any] = json.loads(approval.show)
    due = f", to be answered {ago(approval.due, now)}" if approval.due else ""
    head = f"{approval.ref} {approval.step}: {approval.agent} asked {ago(approval.opened_at, now)}{due}"
    cli.out.print(Text(head, style="dim"), soft_wrap=True)
    cli.out.print()
    cli.out.print(question_text(approval.question, shown.get("show"), shown.get("choices")))
    cli.out.print()
    for line in answers(cli, approval.ref.id, approval.step, shown.get("choices")):
        cli.out.print(Text("    " + line, style="cyan"), soft_wrap=True)


@command(approvals, "approve")
async def approve(
    cli: Cli,
    run: RunId,
    step: StepName = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; the run gets it.")] = None,
    value: Annotated[
        str | None,
        typer.Option(
            "--value", metavar="JSON", help="What else the run gets: one of the choices, an edited text."
        ),
    ] = None,
    by: By = None,
) -> None:
    """Say yes."""
    await _answer(cli, run, step, approved=True, reason=reason, value=value, by=by)


@command(approvals, "deny")
async def deny(
    cli: Cli,
    run: RunId,
    step: StepName = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; the run gets it.")] = None,
    by: By = None,
) -> None:
    """Say no."""
    if not (reason or "").strip():
        raise ConfigError("say why: `--reason TEXT`; the run, and whoever reads its journal, goes by it")
    await _answer(cli, run, step, approved=False, reason=reason, value=None, by=by)


async def _answer(
    cli: Cli,
    run: str,
    step: str | None,
    *,
    approved: bool,
    reason: str | None,
    value: str | None,
    by: str | None,
) -> None:
    who = operator(by)
    async with cli.opened() as app:
        question = await _open_question(app, run, step)
        choices: list[str] = json.loads(question.show).get("choices") or []
        given = None if value is None else _given(value, choices)
        fresh = await app.answer(run, question.step, approved=approved, by=who, reason=reason, value=given)
    if not fresh:
        raise RunConflict(
            f"question `{question.step}` of run `{question.ref}` was answered already; a worker has yet to take that up"
        )
    said = "approved" if approved else "denied"
    cli.done(
        f"{question.ref} {question.step}: {said} by {who}",
        {"run": run, "step": question.step, "approved": approved, "by": who},
    )


def _given(value: str, choices: list[str]) -> Any:
    """A choice may be given as it is or as JSON, anything else is JSON; that it is a choice, the app checks."""
    if not choices:
        return json_value(value, what="the value")
    try:
        return json.loads(value)
    except ValueError:
        return value


async def _open_question(app: App, run: str, step: str | None) -> Approval:
    from .follow import record_of

    record = await record_of(app, run)
    found = await app.store.approvals(ref=record.ref)
    there = ", ".join(f"`{a.step}`" for a in found) or "none"
    if step is None:
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"run `{record.ref}` asks several questions; name one of the steps {there}")
        raise UnknownStep(f"run `{record.ref}` ({record.status}) asks nothing now")
    question = next((a for a in found if a.step == step), None)
    if question is None:
        raise UnknownStep(f"run `{record.ref}` has no open question at step `{step}`; open: {there}")
    return question


def _json(approval: Approval) -> dict[str, Any]:
    from .words import iso

    return {
        "run": approval.ref.id,
        "tenant": approval.ref.tenant,
        "step": approval.step,
        "agent": approval.agent,
        "question": approval.question,
        "opened_at": iso(approval.opened_at),
        "due": iso(approval.due),
        **json.loads(approval.show),
    }
