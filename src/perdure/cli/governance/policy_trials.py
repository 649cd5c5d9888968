"""`perdure policy test|diff|backtest`: policies on trial, before they bite."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..arguments import duration
from ..command import Cli, command, refuse_absent
from ..outcome import Exit
from ..tree import policy
from .policy import Folder, book_of

if TYPE_CHECKING:
    from ...governance.policy.trials import Backtest

__all__: list[str] = []


@command(policy, "test")
async def test(cli: Cli, folder: Folder = None) -> int:
    """Run the cases in `*.test.yaml` beside the policies. Exit 1 where one does not hold, or there is none."""
    from ...governance.policy.trials import read_cases, tried

    app = cli.load_app()
    try:
        book = book_of(app, folder)
    finally:
        await app.close()
    where = folder or app.policies.folder
    if where is None:
        raise ConfigError("the starter set has no tests beside it: name a folder of policies")
    outcomes = list(tried(book, read_cases(where)))
    failed = [o for o in outcomes if not o.passed]
    if cli.json:
        cli.answer(
            {
                "ok": bool(outcomes) and not failed,
                "passed": len(outcomes) - len(failed),
                "failed": [
                    {"case": o.case.name, "file": o.file, "expected": o.case.expect, **o.verdict.to_json()}
                    for o in failed
                ],
            }
        )
    else:
        for o in failed:
            cli.out.print(f"✗ {o.case.name}  ({o.file})", soft_wrap=True)
            by = ", ".join(o.verdict.policies) or "no policy"
            cli.out.print(
                f"    expected {o.case.expect}; {o.verdict.decision} by {by}: {o.verdict.why}", soft_wrap=True
            )
        cli.out.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cases hold")
        if not outcomes:
            cli.note(f"there is no case in `{where}`: write some into `NAME.test.yaml`")
    return Exit.OK if outcomes and not failed else Exit.NOT_SO


@command(policy, "diff")
def diff(
    cli: Cli,
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A folder of policies.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another.")],
) -> int:
    """Say which policies differ between two folders. Exit 1 where any does."""
    from ...governance.policy.policies import read_folder
    from ...governance.policy.trials import differences

    for folder in (before, after):
        if not folder.is_dir():
            raise ConfigError(f"there is no folder `{folder}`")
    found = differences(read_folder(before), read_folder(after))
    if cli.json:
        cli.answer([{"id": d.id, "what": d.what, "before": d.before, "after": d.after} for d in found])
    for d in [] if cli.json else found:
        cli.out.print(f"{d.what}: {d.id}")
        lines = difflib.unified_diff(d.before.splitlines(), d.after.splitlines(), n=1, lineterm="")
        for line in list(lines)[2:]:
            cli.out.print(f"    {line}", markup=False, soft_wrap=True)
    return Exit.NOT_SO if found else Exit.OK


@command(policy, "backtest")
async def backtest(
    cli: Cli,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The candidate.")],
    since: Annotated[
        str | None, typer.Option("--since", metavar="30d", help="Runs that began then or later.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent.")] = None,
) -> int:
    """Judge every recorded decision by other policies: what would now be allowed, asked for, denied.

    Exit 1 where anything would be decided otherwise. Reads that no policy has looked at are in no journal.
    """
    from ...governance.policy.trials import Backtest
    from ...views import decisions

    app = cli.load_app()
    try:
        refuse_absent(app.store.url)
        book = book_of(app, folder)
        await app.open()
        found = Backtest(book)
        after = (
            None
            if since is None
            else app.store.now() - int(duration(since, what="--since").total_seconds() * 1e6)
        )
        async for recorded in decisions.recorded(app.store, app.tenant, since=after, agent=agent):
            found.see(recorded)
    finally:
        await app.close()
    _tell(cli, found)
    return Exit.OK if found.same else Exit.NOT_SO


def _tell(cli: Cli, found: Backtest) -> None:
    changes = [
        {
            "before": before,
            "after": after,
            "calls": count,
            "examples": [
                {"run": r.run, "step": r.step, "tool": r.tool, "policies": list(v.policies), "why": v.why}
                for r, v in found.examples.get((before, after), [])
            ],
        }
        for (before, after), count in sorted(found.changes.items())
    ]
    if cli.json:
        cli.answer({"judged": found.judged, "same": found.same, "changes": changes})
        return
    cli.out.print(f"{found.judged} decisions judged by version {found.book.digest[:12]}")
    for change in changes:
        arrow = "stays" if change["before"] == change["after"] else f"→ {change['after']}"
        cli.out.print(f"  {change['calls']:>7} {change['before']} {arrow}")
        examples: Any = change["examples"]
        for each in examples:
            cli.out.print(
                f"          {each['run']} {each['step']}: {', '.join(each['policies'])} {each['why']}",
                markup=False,
                soft_wrap=True,
            )
