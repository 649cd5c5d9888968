"""What the MCP servers of the demo share: books that outlive them, and a night in which they do not answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio

FOLDER = Path(sys.argv[1])


def book(name: str, /, **told: Any) -> None:
    """A line in the books of a server."""
    with (FOLDER / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


def books(name: str) -> list[dict[str, Any]]:
    """What stands there."""
    file = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


async def night(tool: str) -> None:
    """Once for each night that the demo calls: what was asked for is done, and the answer stays out."""
    mark = FOLDER / "night"
    if mark.exists() and mark.read_text(encoding="utf-8") == tool:
        mark.rename(FOLDER / "asleep")
        await anyio.sleep(600)
