"""The evidence: a line for every time that a tool or a model was really executed, written by the one who executes.

The journal says what was recorded; this file says what was done. The demo compares the two.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Execution(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: int
    """microseconds since the epoch, when it began"""
    pid: int
    what: str
    """`search`, `read_document`, `model`, `send_email`, `was_sent`, ..."""
    about: str
    """with `what`, it names one step of one run"""


def note(file: Path | None, what: str, about: str) -> None:
    """Add a line. One write of less than a page: whole, or not there, also when the process is killed."""
    if file is None:
        return
    line = Execution(at=time.time_ns() // 1000, pid=os.getpid(), what=what, about=about).model_dump_json()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)


def read(file: Path) -> list[Execution]:
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Execution.model_validate_json(line) for line in lines]
