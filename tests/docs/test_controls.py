"""What the pages for auditors and reviewers name is there: each command, with each of its options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from perdure.cli.commands import hang
from perdure.cli.root import root

DOCS = Path(__file__).resolve().parents[2] / "docs"
SPAN = re.compile(r"`(perdure [^`]+)`")


def commands(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return sorted({" ".join(found.split()) for found in SPAN.findall(text)})


def missing(command: str) -> str:
    """What of a command is not there; empty: all of it is."""
    words = shlex.split(command)[1:]
    hang()
    here: Any = get_command(root)
    while words and hasattr(here, "commands"):
        name = words.pop(0)
        if name not in here.commands:
            return f"no command `{name}`"
        here = here.commands[name]
    if hasattr(here, "commands"):
        return "a group, and no command"
    known = {opt for parameter in here.params for opt in parameter.opts}
    return ", ".join(f"no option `{word}`" for word in words if word.startswith("-") and word not in known)


@pytest.mark.parametrize(("page", "least"), [("controls.md", 35), ("security-review.md", 7), ("audit.md", 1)])
def test_every_command_that_is_named_is_there(page: str, least: int) -> None:
    named = commands(page)
    assert len(named) >= least
    assert {command: fault for command in named if (fault := missing(command))} == {}


def test_what_is_not_there_is_found() -> None:
    assert missing("perdure audit who-did pay --agent x") == ""
    assert missing("perdure audit who-else") == "no command `who-else`"
    assert missing("perdure audit") == "a group, and no command"
    assert missing("perdure audit log --colour red") == "no option `--colour`"


def test_every_line_of_the_map_names_a_control_and_what_shows_it() -> None:
    rows = [
        line for line in (DOCS / "controls.md").read_text().splitlines() if re.match(r"\| (CC|A\.|\d)", line)
    ]
    assert len(rows) >= 30
    assert [row for row in rows if "`perdure " not in row] == []
    text = "\n".join(rows)
    for control in (
        "CC6.1",
        "CC7.2",
        "CC8.1",
        "A.6.2.8",
        "A.9.2",
        "| 12(1)",
        "14(4)(e)",
        "19(1), 26(6)",
        "26(5)",
    ):
        assert control in text
