"""`perdure policy apply|shadow|history`: policies change while workers live, a candidate runs beside, who did what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import BadSignature, ConfigError
from ..approvals.signing import SignWith, default_key, library, open_key
from ..arguments import duration
from ..command import Cli, command, refuse_absent
from ..outcome import Exit
from ..runs.steer import By, operator
from ..tree import policy

if TYPE_CHECKING:
    from ...app import App
    from ...governance.changes import Change
    from ...identity.approver_file import SigningKey
    from ...views.decisions import Differing

__all__: list[str] = []

Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the history.")]
Sign = Annotated[
    bool, typer.Option("--sign", help="Sign it with your key, at its usual place or by `--sign-with`.")
]


@command(policy, "apply")
async def apply(
    cli: Cli,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The policies that shall hold.")],
    reason: Why = "",
    sign: Sign = False,
    sign_with: SignWith = None,
    by: By = None,
) -> None:
    """Let policies hold for runs that begin from now on, on every worker, without a restart.

    Runs that have begun go on by their own version. What does not load for the app's agents and tools changes nothing.
    """
    key, who = _signer(cli, sign, sign_with, by)
    app = cli.load_app()
    try:
        refuse_absent(app.store.url)
        change = await app.policies.apply(folder, by=who, reason=reason, signer=key)
    finally:
        await app.close()
    after = str(change.draft.what["after"])
    cli.done(
        f"version {after[:12]} holds for runs that begin from now on (change {change.draft.seq})",
        _told(change, None),
    )


@command(policy, "shadow")
async def shadow(
    cli: Cli,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="A candidate to run beside from now on.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Run none beside any more.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="7d", help="List: of runs that began then or later.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="List: only this agent's.")] = None,
    of: Annotated[
        str | None, typer.Option("--of", metavar="VERSION", help="List: only of that candidate.")
    ] = None,
    reason: Why = "",
    sign: Sign = False,
    sign_with: SignWith = None,
    by: By = None,
) -> int:
    """List what a candidate that runs beside would have decided otherwise; or begin with one, or `--stop`.

    It decides nothing. Exit 1 where it differs.
    """
    if folder is not None and stop:
        raise ConfigError("name a candidate, or `--stop`, and not both")
    if folder is not None or stop:
        await _run_beside(cli, folder, reason=reason, signing=_signer(cli, sign, sign_with, by))
        return Exit.OK
    from ...views import decisions

    async with cli.opened() as app:
        after = None
        if since is not None:
            after = app.store.now() - int(duration(since, what="--since").total_seconds() * 1e6)
        found = await decisions.differing(app.store, app.tenant, since=after, agent=agent, version=of)
    if cli.json:
        cli.answer([{**one.to_json(), "examples": _examples(one)} for one in found])
    else:
        _list(cli, found)
    return Exit.NOT_SO if found else Exit.OK


@command(policy, "history")
async def history(cli: Cli) -> int:
    """List how the policies were changed: when, by whom, from what to what, why, and whether the signature is good.

    Exit 1 where a signature is not good, or is missing although the settings want one. A history that was altered is an
    error of the store.
    """
    settings = cli.settings
    from ...governance.changes import vouched_for

    async with cli.opened() as app:
        app.policies.settings = settings.policies
        found = await app.policies.history()
        told: list[dict[str, Any]] = []
        for change in found:
            try:
                who = (
                    None if change.proof is None else await vouched_for(change, settings.approvals, app.store)
                )
                problem = _problem(app, who)
            except BadSignature as error:
                problem = str(error)
            told.append(_told(change, problem))
    if cli.json:
        cli.answer(told)
    elif not told:
        cli.note("nobody has changed the policies while workers live: what the app was deployed with holds")
    else:
        _show(cli, told)
    return Exit.NOT_SO if any(one["problem"] for one in told) else Exit.OK


def _problem(app: App, who: str | None) -> str | None:
    settings = app.policies.settings
    if who is None:
        return "not signed" if settings.required else None
    if not settings.may_change(who, app.approval_settings):
        return f"`{who}` is none of the `editors`"
    return None


def _signer(cli: Cli, sign: bool, sign_with: Path | None, by: str | None) -> tuple[SigningKey | None, str]:
    """The key by which it is signed, and who says so."""
    from ...core.people import person

    path = sign_with or (default_key() if sign or cli.settings.policies.required else None)
    if path is None:
        return None, operator(by)
    owner = library().owner_of(path)
    if by is not None and person(by) != person(owner):
        raise ConfigError(f"`{path}` is the key of `{owner}`: `{by}` signs with one of their own")
    return open_key(path), owner


async def _run_beside(
    cli: Cli, folder: Path | None, *, reason: str, signing: tuple[SigningKey | None, str]
) -> None:
    key, who = signing
    app = cli.load_app()
    try:
        refuse_absent(app.store.url)
        change = await app.policies.run_beside(folder, by=who, reason=reason, signer=key)
    finally:
        await app.close()
    after = str(change.draft.what["after"])
    text = (
        f"candidate {after[:12]} runs beside, and decides nothing"
        if after
        else "nothing runs beside any more"
    )
    cli.done(f"{text} (change {change.draft.seq})", _told(change, None))


def _told(change: Change, problem: str | None) -> dict[str, Any]:
    from ...views.words import iso

    draft = change.draft
    return {
        "change": draft.seq,
        "at": iso(change.at),
        "of": draft.what["of"],
        "before": draft.what["before"] or None,
        "after": draft.what["after"] or None,
        "by": draft.by,
        "reason": draft.reason,
        "signed": change.proof is not None,
        "problem": problem,
        "hash": change.hash,
        "previous": draft.previous or None,
    }


def _examples(one: Differing) -> list[dict[str, Any]]:
    from ...views.words import iso

    return [{"run": e.run, "step": e.step, "at": iso(e.at), "why": e.why} for e in one.examples]


def _list(cli: Cli, found: list[Differing]) -> None:
    from ...views.words import safe

    if not found:
        cli.note(
            "no call was judged otherwise by a candidate that ran beside; `perdure policy shadow FOLDER` begins"
        )
    for one in found:
        by = ", ".join(one.policies) or "nothing permits it"
        cli.out.print(
            f"{one.calls:>7}  {one.tool}: {one.before} → {one.after}  by {by}  (candidate {one.version[:12]})",
            markup=False,
            soft_wrap=True,
        )
        for each in one.examples:
            cli.out.print(f"         {each.run} {each.step}  {safe(each.why)}", markup=False, soft_wrap=True)


def _show(cli: Cli, told: list[dict[str, Any]]) -> None:
    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Any]] = []
    for one in told:
        what = " → ".join((one[side] or "none")[:12] for side in ("before", "after"))
        signature = one["problem"] or ("good" if one["signed"] else "none")
        rows.append(
            [str(one["change"]), one["at"], one["of"], what, safe(one["by"]), safe(one["reason"]), signature]
        )
    headings = ("change", "at", "of", "from → to", "by", "why", "signature")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((5, 0), (6, 0))))
