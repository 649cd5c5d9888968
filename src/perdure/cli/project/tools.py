"""`perdure agents tools`: what the tools of an app do to the world, who says so, and what nobody has said yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..command import Cli, command
from ..tree import agents

if TYPE_CHECKING:
    from ...app import App
    from ...runtime.frameworks.survey import Survey, Surveyed

__all__: list[str] = []


@command(agents, "tools")
def tools(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="Add what nobody declared to a file (`tools.toml`), for you to confirm. What is in it stays.",
        ),
    ] = None,
) -> None:
    """List the tools of the agents that the app wraps: effect, who says so, what they look like and why.

    No model is asked, and nothing is run.
    """
    app = cli.load_app(target)
    from ...app.surveys import surveyed_app

    found = surveyed_app(app)
    added = None if write is None else _write(write, found)
    if cli.json:
        told = survey_json(app, found)
        cli.answer(told if write is None else {**told, "file": str(write), "added": added})
        return
    if found.tools:
        cli.out.print(_table(cli, app, found))
    else:
        cli.note(f"{app.target}: no tool was found")
    _notes(cli, app, found)
    if write is not None:
        _say_written(cli, write, added or [])


def survey_json(app: App, found: Survey) -> dict[str, Any]:
    """A survey for programs."""
    return {
        "app": app.target,
        "tools": [
            {
                "tool": t.name,
                "agent": t.agent,
                "effect": t.declared.effect,
                "source": t.declared.source,
                "unconfirmed": app.effects.unconfirmed(t.name),
                "looks_like": t.looks.effect,
                "why": t.looks.why,
                "verify": t.declared.verify is not None,
                "compensate": t.declared.compensate is not None,
            }
            for t in found.tools
        ],
        "uncovered": [
            {"agent": agent, "tool": name, "allowed": name in app.effects.allowed}
            for agent, name in found.uncovered
        ],
        "later": [{"agent": agent, "from": name} for agent, name in found.later],
        "without": found.without,
    }


def _open(found: Survey) -> list[Surveyed]:
    return [t for t in found.tools if t.agent is not None and t.declared.source == "undeclared"]


def _write(file: Path, found: Survey) -> list[str]:
    from ...runtime.frameworks.proposal import propose

    return propose(file, [(t.name, t.looks) for t in _open(found)])


def _table(cli: Cli, app: App, found: Survey) -> Any:
    from rich.text import Text

    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = []
    for tool in found.tools:
        effect = tool.declared.effect
        style = {"read": "green", "idempotent": "cyan", "delegate": "cyan"}.get(effect, "yellow")
        undeclared = tool.declared.source == "undeclared"
        source = "unconfirmed" if app.effects.unconfirmed(tool.name) else tool.declared.source
        rows.append(
            [
                Text(safe(tool.name), style="bold"),
                safe(tool.agent or "(the app's own)"),
                Text(effect, style=style),
                Text(source, style="yellow" if undeclared else "dim"),
                Text(
                    f"{tool.looks.effect}: {safe(tool.looks.why)}",
                    style="dim" if tool.looks.effect == effect else "",
                ),
            ]
        )
    headings = ("tool", "agent", "effect", "says who", "looks like")
    return listing(headings, rows, cli.out, squeeze=((4, 20), (1, 0), (0, 12)))


def _notes(cli: Cli, app: App, found: Survey) -> None:
    for agent, name in found.uncovered:
        said = "allowed, and not recorded" if name in app.effects.allowed else "refused until it is allowed"
        cli.note(f"{agent}: `{name}` is run by its provider or its framework, out of sight: {said}")
    for agent, name in found.later:
        cli.note(
            f"{agent}: the tools of `{name}` are known when a run first has them; the log lists them then"
        )
    for agent in found.without:
        cli.note(
            f"{agent}: its code names no agent of another framework. Where it makes one and wraps it: "
            f'`app.effects.wraps("{agent}", ...)`'
        )
    if names := list(dict.fromkeys(t.name for t in _open(found))):
        cli.note(
            f"{len(names)} not declared, so each counts as a write: {', '.join(names)}. Say what they are by "
            '`app.effects.declare("read", ...)`, or begin a file: --write tools.toml'
        )


def _say_written(cli: Cli, file: Path, added: list[str]) -> None:
    if not added:
        cli.note(f"{file}: nothing to add")
        return
    cli.note(
        f"{file}: added {', '.join(added)}. Set each `effect` right, take `confirmed = false` away, and read the file "
        f'in the app: `app.effects.load("{file}")`'
    )
