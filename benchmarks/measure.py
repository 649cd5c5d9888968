"""One measurement, in a process of its own: `python -m benchmarks.measure MODULE:FUNCTION ARGUMENTS_AS_JSON`.

The function may be a coroutine; it returns metrics (`workload.Measured`), or anything else that JSON can hold.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .workload import done

__all__ = ["ROOT", "MeasurementFailed", "apart", "command", "environment"]

ROOT = Path(__file__).resolve().parent.parent


class MeasurementFailed(Exception):
    """The process of a measurement ended badly; the message holds the last lines that it said."""


def command(name: str, arguments: dict[str, Any], *, python: str = sys.executable) -> list[str]:
    """The command line of a measurement."""
    return [python, "-m", "benchmarks.measure", name, json.dumps(arguments)]


def environment() -> dict[str, str]:
    """The environment of a measurement: this one's, less what would make a provider or a tracer call home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DBOS_", "LANGSMITH_", "LANGCHAIN_"))}
    return kept | {"LANGSMITH_TRACING": "false", "PYTHONWARNINGS": "ignore"}


def apart(name: str, *, interpreter: str = sys.executable, timeout: float = 900, **arguments: Any) -> Any:
    """Run a measurement in a process of its own and hand back what it found. Raises `MeasurementFailed`."""
    try:
        ended = subprocess.run(
            command(name, arguments, python=interpreter),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"{name}: nothing after {timeout:.0f} s") from None
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["said nothing"])[-1]
        raise MeasurementFailed(f"{name}: {last.removeprefix('benchmarks.measure.MeasurementFailed: ')}")
    return json.loads(ended.stdout.strip().splitlines()[-1])


def main() -> None:
    """Import, call, print."""
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    module, _, function = name.partition(":")
    made = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**arguments)
    done(asyncio.run(made) if inspect.iscoroutine(made) else made)


if __name__ == "__main__":
    main()
