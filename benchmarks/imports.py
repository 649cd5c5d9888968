"""How long importing takes, less what an empty interpreter takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from .measure import ROOT, environment
from .workload import Measured

__all__ = ["imports"]


def imports(*, statement: str, rounds: int) -> Measured:
    """The median time of a statement in a fresh interpreter."""

    def once(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment())
        return (time.perf_counter() - began) * 1e3

    pairs = [(once(statement), once("pass")) for _ in range(rounds)]
    return {"time": (statistics.median(a - b for a, b in pairs), "ms")}
