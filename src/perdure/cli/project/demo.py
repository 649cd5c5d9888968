"""`perdure demo`: the sales desk, where it is at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..command import Cli, command, show_error
from ..outcome import Exit
from ..tree import root

__all__ = ["find_demo"]

PLACE = Path("examples") / "sales_desk" / "demo.py"


def find_demo() -> Path | None:
    """The demo of the checkout that we stand in, or that this package runs from."""
    checkout = Path(__file__).resolve().parents[3]
    return next((folder / PLACE for folder in (Path.cwd(), checkout) if (folder / PLACE).is_file()), None)


@command(root, "demo", rich_help_panel="Start")
def demo(
    cli: Cli,
    yes: Annotated[bool, typer.Option("--yes", help="Let it answer its own question.")] = False,
) -> int:
    """Watch a sales desk be killed twice, finish, and send nothing twice."""
    script = find_demo()
    if script is None:
        message = (
            f"the demo is `{PLACE}` in Perdure's repository, and not part of the package: clone the repository, then "
            "`make demo`; `perdure init` writes a smaller one"
        )
        show_error(message)
        if cli.json:
            cli.answer({"error": {"type": "NotFound", "message": message, "exit": int(Exit.NOT_FOUND)}})
        return Exit.NOT_FOUND
    arguments = [sys.executable, str(script), *(["--yes"] if yes or cli.json else [])]
    done = subprocess.run(arguments, stdout=2 if cli.json else None, check=False)
    if cli.json:
        cli.answer({"demo": str(script), "exit": done.returncode})
    return Exit.OK if done.returncode == 0 else Exit.NOT_SO
