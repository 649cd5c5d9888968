"""`perdure agents ls`: what the app has registered."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..command import Cli, command
from ..tree import agents

__all__ = ["registered"]


@command(agents, "ls")
def ls(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
) -> None:
    """List agents and tools: versions, types, effects."""
    app = cli.load_app(target)
    told = registered(app)
    if cli.json:
        cli.answer(told)
        return
    from rich.text import Text

    from ..display.screen import listing

    agents_rows = [
        [Text(a["agent"], style="bold"), a["version"], a["input"], a["output"]] for a in told["agents"]
    ]
    if agents_rows:
        headings = ("agent", "version", "takes", "returns")
        cli.out.print(listing(headings, agents_rows, cli.out, squeeze=((3, 0), (2, 0))))
    else:
        cli.note(f"{told['app']} registers no agent")
    if told["tools"]:
        rows: list[list[Text | str]] = []
        for tool in told["tools"]:
            effect = tool["effect"] if tool["declared"] else f"{tool['effect']} (not declared)"
            style = {"read": "green", "idempotent": "cyan"}.get(tool["effect"], "yellow")
            marks = ["yes" if tool[name] else "" for name in ("verify", "compensate")]
            rows.append([Text(tool["tool"], style="bold"), Text(effect, style=style), *marks])
        cli.out.print()
        cli.out.print(listing(("tool", "effect", "verify", "compensate"), rows, cli.out))


def registered(app: Any) -> dict[str, Any]:
    """The agents and tools of an app."""
    return {
        "app": app.target,
        "agents": [
            {
                "agent": a.name,
                "version": a.version,
                "input": "nothing" if a.input is None else _type(a.input.annotation),
                "output": _type(a.output.annotation),
            }
            for a in app.agents.values()
        ],
        "tools": [
            {
                "tool": t.name,
                "effect": t.effect,
                "declared": t.declared,
                "verify": t.verify is not None,
                "compensate": t.compensate is not None,
            }
            for t in app.tools.values()
        ],
    }


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
