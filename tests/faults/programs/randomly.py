"""A random program (PROGRAM, in JSON), in a world that is a file (LEDGER)."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.programs import crew
from tests.properties.programs import Node, World, build


class Tally(Counter[str]):
    """A count that outlives the process: a line in the file each time that a number rises."""

    def __init__(self, sort: str) -> None:
        self._sort = sort

    def __getitem__(self, name: str) -> int:
        return crew.noted(f"{self._sort} {name}")

    def __setitem__(self, name: str, count: int) -> None:
        for _ in range(count - self[name]):
            crew.note(f"{self._sort} {name}")


def world() -> World:
    return World(executions=Tally("executed"), applied=Tally("applied"), alive={os.getpid()})


def counted(ledger: Path, sort: str) -> Counter[str]:
    """What a tally says, once its processes are gone."""

    def names() -> Iterator[str]:
        for line in ledger.read_text().splitlines() if ledger.exists() else ():
            if line.startswith(f"{sort} "):
                yield line.removeprefix(f"{sort} ")

    return Counter(names())


def as_node(node: Any) -> Any:
    """A program as JSON gives it back, in tuples."""
    return tuple(as_node(child) for child in node) if isinstance(node, list) else node


def real(node: Any) -> Any:
    """The program with waits that somebody can wait for: of days, a second, which holds no worker."""
    if not isinstance(node, tuple):
        return node
    match node:
        case ("sleep" | "timeout" as what, seconds):
            return (what, 1.01 if seconds > 1000 else min(seconds, 0.05))
        case _:
            return tuple(real(child) for child in node)


def main() -> None:
    app = crew.new_app()
    program: Node = as_node(json.loads(os.environ["PROGRAM"]))
    build(app, world(), os.getpid(), program)
    crew.work(app)
