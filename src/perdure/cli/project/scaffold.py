"""`perdure init`: a project that runs at once."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ...core.errors import ConfigError
from ...views.words import command_line
from ..command import Cli, command
from ..tree import root

__all__ = ["FILES"]

FILES = ("agents.py", "perdure.toml", "README.md")
"""What a new project holds; `perdure.cli.project` keeps them as `template/NAME.txt`."""


@command(root, "init", rich_help_panel="Start")
def init(
    cli: Cli,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to; here, if not given.")] = Path(),
) -> None:
    """Write a project that runs at once: an agent with steps, an approval and a verified write."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise ConfigError(
            f"`{folder / there[0]}` is there already; nothing was written. Name an empty folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    template = resources.files("perdure.cli.project") / "template"
    for name in FILES:
        (folder / name).write_text((template / f"{name}.txt").read_text(encoding="utf-8"), encoding="utf-8")
    enter = [command_line("cd", str(folder))] if folder.resolve() != Path.cwd() else []
    following = [" && ".join([*enter, "perdure dev"]), """perdure run welcome --input '{"name": "Ada"}'"""]
    if cli.json:
        cli.answer({"folder": str(folder), "files": list(FILES), "next": following})
        return
    from rich.text import Text

    cli.out.print(Text(f"{', '.join(FILES)} written to {folder.resolve()}"), soft_wrap=True)
    cli.out.print(
        Text(f"next:\n    {following[0]}\nand, from another terminal in that folder:\n    {following[1]}")
    )
