"""A worker for runs that mostly wait, which says how much memory it holds when it is sent SIGUSR1."""

from __future__ import annotations

import os
import signal
from types import FrameType

from tests.faults.programs import crew, mail


def held() -> int:
    """Kilobytes of memory that this process holds."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def tell(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, f"holds {held()} kB\n".encode())


def main() -> None:
    signal.signal(signal.SIGUSR1, tell)
    app = crew.new_app()
    mail.register(app)
    crew.work(app)
