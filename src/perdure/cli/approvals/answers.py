"""`perdure approvals ls|show|approve|reject|edit|answer`: questions that wait for a human, and their answers."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ...core.errors import AnswerRefused, ConfigError, RunConflict, UnknownStep
from ..arguments import json_text, json_value
from ..command import Cli, command
from ..complete import run_ids
from ..runs.listing import RunId
from ..runs.steer import By, operator
from ..tree import approvals
from .sign_in import SignIn, signed_in
from .signing import How, SignWith, open_key, signer

if TYPE_CHECKING:
    from ...app import App
    from ...journal import Approval

__all__ = ["StepName"]

StepName = Annotated[
    str | None, typer.Argument(metavar="[STEP]", help="The step that asks; not needed where only one does.")
]
Digest = Annotated[
    str | None,
    typer.Option(
        "--digest",
        metavar="DIGEST",
        help="What was seen: as `approvals show` prints it; 8 digits are enough.",
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; the run gets it.")]

FEWEST = 8
"""Digits of a digest."""


@command(approvals, "ls")
async def ls(
    cli: Cli,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Only its questions, and its children's.", autocompletion=run_ids
        ),
    ] = None,
    of_run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="The same.")] = None,
    for_: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Only what this person may answer.")
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
) -> None:
    """List open questions, the oldest first."""
    run = run or of_run
    async with cli.opened() as app:
        if run is not None:
            found = await app.open_approvals(run)
        else:
            found = await app.store.approvals(tenant=None if all_tenants else app.tenant)
        now = app.store.now()
        if for_ is not None:
            found = [a for a in found if _may_answer(app, a, for_)]
    if cli.json:
        cli.answer([_json(a) for a in found])
        return
    if not found:
        cli.note("no question stands open")
        return
    from rich.text import Text

    from ...views.words import ago, visible
    from ..display.screen import listing

    rows = [
        [
            Text(str(a.ref), style="bold"),
            Text(visible(a.step)),
            ago(a.opened_at, now),
            "" if a.due is None else ago(a.due, now),
            Text(_whom(a)),
            Text(visible(_asked(a))),
        ]
        for a in found
    ]
    headings = ("run", "step", "asked", "answer", "of", "question")
    table = listing(headings, rows, cli.out, squeeze=((5, 20), (4, 0), (3, 0), (0, 12)))
    cli.out.print(table)
    cli.note(cli.hint("approvals", "show", found[0].ref.id, found[0].step))


def _asked(approval: Approval) -> str:
    """The call that is to be approved, or the question, in one line."""
    if approval.arguments is None:
        return " ".join(approval.question.split())
    given = ", ".join(f"{name}={json.dumps(v, ensure_ascii=False)}" for name, v in approval.arguments.items())
    return f"{approval.tool}({given})"


def _may_answer(app: App, approval: Approval, name: str) -> bool:
    from ...runtime.approval.answering import why_not

    row = approval.told
    if "digest" not in row:
        return True
    return not why_not(row, {"digest": row["digest"]}, name, app.approval_settings)


def _whom(approval: Approval) -> str:
    from ...views.words import visible

    row = approval.told
    if row.get("nobody"):
        return "held"
    return visible(", ".join(row.get("people") or ()))


@command(approvals, "show")
async def show(cli: Cli, run: RunId, step: StepName = None) -> None:
    """Show what is asked, with nothing hidden in it."""
    async with cli.opened() as app:
        approval = await _open_question(app, run, step)
        now = app.store.now()
    if cli.json:
        cli.answer(_json(approval))
        return
    _print(cli, approval, now)


def _print(cli: Cli, approval: Approval, now: int) -> None:
    from rich.text import Text

    from ...views.story import Question
    from ...views.words import ago, visible
    from ..display.question import DIGITS, answers, question_text

    row = approval.told
    due = f", to be answered {ago(approval.due, now)}" if approval.due else ""
    head = f"{approval.ref} {approval.step}: {approval.agent} asked {ago(approval.opened_at, now)}{due}"
    cli.out.print(Text(head, style="dim"), soft_wrap=True)
    if row.get("people") is not None:
        cli.out.print(Text(f"of {_whom(approval) or 'nobody'}", style="dim"), soft_wrap=True)
    for name in row.get("held") or ():
        cli.out.print(
            Text(f"held back from {visible(name)}, who has had too many", style="dim"), soft_wrap=True
        )
    if row.get("digest"):
        cli.out.print(Text(f"digest {row['digest'][:DIGITS]}", style="dim"), soft_wrap=True)
    if row.get("signing"):
        counts = "counts only with" if row["signing"] == "required" else "may have"
        cli.out.print(Text(f"the answer {counts} its author's signature", style="dim"), soft_wrap=True)
    cli.out.print()
    text = question_text(approval.question, row.get("show"), row.get("choices"), about=row.get("about"))
    cli.out.print(text)
    cli.out.print()
    question = Question(
        step=approval.step,
        question=approval.question,
        choices=row.get("choices"),
        show=row.get("show"),
        due=approval.due,
        since=approval.opened_at,
        digest=row.get("digest"),
        form=None if row.get("digest") else row.get("form"),
    )
    for line in answers(cli, approval.ref.id, question):
        cli.out.print(Text("    " + line, style="cyan"), soft_wrap=True)


@command(approvals, "approve")
async def approve(
    cli: Cli,
    run: RunId,
    step: StepName = None,
    digest: Digest = None,
    reason: Reason = None,
    value: Annotated[
        str | None,
        typer.Option(
            "--value", metavar="JSON", help="What else the run gets: one of the choices, an edited text."
        ),
    ] = None,
    sign_with: SignWith = None,
    sign_in: SignIn = None,
    by: By = None,
) -> None:
    """Say yes, to what was shown."""
    await _answer(
        cli,
        run,
        step,
        approved=True,
        reason=reason,
        value=value,
        by=by,
        digest=digest,
        how=How(sign_with, sign_in),
    )


@command(approvals, "reject")
async def reject(
    cli: Cli,
    run: RunId,
    step: StepName = None,
    digest: Digest = None,
    reason: Reason = None,
    sign_with: SignWith = None,
    sign_in: SignIn = None,
    by: By = None,
) -> None:
    """Say no."""
    if not (reason or "").strip():
        raise ConfigError("say why: `--reason TEXT`; the run, and whoever reads its journal, goes by it")
    await _answer(
        cli,
        run,
        step,
        approved=False,
        reason=reason,
        value=None,
        by=by,
        digest=digest,
        how=How(sign_with, sign_in),
    )


command(approvals, "deny", hidden=True)(reject)


@command(approvals, "edit")
async def edit(
    cli: Cli,
    run: RunId,
    step: StepName = None,
    digest: Digest = None,
    arguments: Annotated[
        str | None,
        typer.Option("--arguments", metavar="JSON", help="All arguments: JSON, @FILE, or - for stdin."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=JSON", help="One of them; repeatable.")
    ] = None,
    reason: Reason = None,
    sign_with: SignWith = None,
    sign_in: SignIn = None,
    by: By = None,
) -> None:
    """Say yes to a call, with other arguments than were asked for."""
    if (arguments is None) == (not set_):
        raise ConfigError(
            "say what it is to be called with: `--set NAME=JSON`, or `--arguments JSON` for all"
        )
    all_given: Any = None if arguments is None else json_text(arguments, what="the arguments")
    if arguments is not None and not isinstance(all_given, dict):
        raise ConfigError(f"the arguments `{arguments[:80]}` are no JSON object")
    changed: dict[str, Any] = {} if set_ is None else dict(_named(one) for one in set_)
    await _answer(
        cli,
        run,
        step,
        approved=True,
        reason=reason,
        value=None,
        by=by,
        digest=digest,
        how=How(sign_with, sign_in),
        arguments=cast("dict[str, Any] | None", all_given),
        changed=changed,
    )


def _named(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise ConfigError(f"`--set {given[:80]}` is not of the form `NAME=JSON`")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # text need not be quoted twice


@command(approvals, "answer")
async def answer(
    cli: Cli,
    run: RunId,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="JSON, @FILE or -; text and choices as they are.")
    ],
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="STEP", help="Needed where the run asks several questions."),
    ] = None,
    reason: Reason = None,
    by: By = None,
) -> None:
    """Answer a question that asks for more than yes or no."""
    await _answer(cli, run, step, approved=True, reason=reason, value=value, by=by, digest=None)


async def _answer(
    cli: Cli,
    run: str,
    step: str | None,
    *,
    approved: bool,
    reason: str | None,
    value: str | None,
    by: str | None,
    digest: str | None,
    how: How | None = None,
    arguments: dict[str, Any] | None = None,
    changed: dict[str, Any] | None = None,
) -> None:
    from ...runtime.approval.proof import sign_answer

    async with cli.opened() as app:
        question = await _open_question(app, run, step)
        row = question.told
        key = None  # a question that is about no call is not signed: anybody may answer it
        if question.digest is not None:
            how = how or How()
            if how.issuer is None:
                key = signer(f"step `{question.step}`", row.get("signing"), how.key, by)
        given = None if value is None else _given(value, row)
        seen = _seen(cli, question, row, digest, app.store.now())
        if changed:
            if seen is None:
                raise ConfigError(
                    f"step `{question.step}` asks a question; it has no arguments to be changed"
                )
            arguments = {**row["arguments"], **changed}
        who: str = operator(by)
        proof: str | dict[str, Any] | None = None
        said_so: dict[str, Any] = {
            "approved": approved,
            "reason": reason,
            "arguments": arguments if approved else None,
        }
        if key is not None:
            opened = open_key(key)
            who = by or opened.user
            proof = sign_answer(question, opened, by=who, **said_so)
        elif how is not None and how.issuer is not None and question.digest is not None:
            who, proof = await signed_in(cli, how.issuer, question, by, **said_so)
        fresh = await app.answer(
            run,
            question.step,
            approved=approved,
            by=who,
            reason=reason,
            value=given,
            digest=seen,
            arguments=arguments,
            proof=proof,
        )
    if not fresh:
        raise RunConflict(
            f"question `{question.step}` of run `{question.ref}` was answered already; a worker has yet to take that up"
        )
    said = "denied" if not approved else "approved" if value is None or not row.get("form") else "answered"
    with_others = "" if arguments is None else f" with {json.dumps(arguments, ensure_ascii=False)}"
    told = {"run": run, "step": question.step, "approved": approved, "by": who}
    if seen is not None:
        told["digest"] = seen
        told["signed"] = proof is not None
    signs = "" if proof is None else ", and signed"
    cli.done(f"{question.ref} {question.step}: {said}{with_others} by {who}{signs}", told)


def _seen(cli: Cli, question: Approval, row: dict[str, Any], digest: str | None, now: int) -> str | None:
    """The digest of what the person has seen: as given, or shown and confirmed now. None: the step asks no call."""
    there = row.get("digest")
    if there is None:
        if digest is not None:
            raise ConfigError(f"step `{question.step}` asks a question, which has no digest; leave it out")
        return None
    if digest is not None:
        if len(digest) < FEWEST:
            raise ConfigError(f"digest `{digest}` is too short: give at least {FEWEST} digits of it")
        return there if there.startswith(digest) else digest
    if not cli.json and sys.stdin.isatty():
        _print(cli, question, now)
        if typer.confirm("Is it this that you answer?", err=True):
            return there
        raise AnswerRefused("nothing was answered")
    raise ConfigError(
        f"say what you have seen: `{cli.hint('approvals', 'show', question.ref.id, question.step)}` shows it, and its "
        "digest, which is given as `--digest`"
    )


def _given(value: str, row: dict[str, Any]) -> Any:
    """A choice or a text may be given as it is, anything else is JSON; whether it fits, the app checks."""
    form: dict[str, Any] = row.get("form") or {}
    if row.get("choices") or form.get("type") == "string":
        try:
            found = json.loads(value)
        except ValueError:
            return value
        return found if isinstance(found, str) or row.get("choices") else value
    if value == "-" or value.startswith("@"):
        return json_text(value, what="the value")
    return json_value(value, what="the value")


async def _open_question(app: App, run: str, step: str | None) -> Approval:
    from ..display.follow import record_of

    record = await record_of(app, run)
    found = await app.store.approvals(ref=record.ref)
    there = ", ".join(f"`{a.step}`" for a in found) or "none"
    if step is None:
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"run `{record.ref}` asks several questions; name one of the steps {there}")
        below = [a for a in await app.open_approvals(run) if a.ref != record.ref]
        if below:
            raise UnknownStep(
                f"run `{record.ref}` asks nothing itself; its child `{below[0].ref}` does, at step `{below[0].step}`"
            )
        raise UnknownStep(f"run `{record.ref}` ({record.status}) asks nothing now")
    question = next((a for a in found if a.step == step), None)
    if question is None:
        raise UnknownStep(f"run `{record.ref}` has no open question at step `{step}`; open: {there}")
    return question


def _json(approval: Approval) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "run": approval.ref.id,
        "tenant": approval.ref.tenant,
        "step": approval.step,
        "agent": approval.agent,
        "question": approval.question,
        "opened_at": iso(approval.opened_at),
        "due": iso(approval.due),
        **approval.told,
    }
