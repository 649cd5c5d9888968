"""`make bench`: durable steps against the raw limit, on SQLite.

Every measurement is a process of its own; contenders take turns, so that all see the same machine. The judged figure
is `perdure, every step on disk`; the others show what pipelining gains and what intents cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw

RESULTS = Path(__file__).parent / "results"
CONTENDERS = {
    "raw rows, group commit": "raw",
    "perdure, every step on disk": "step",
    "perdure, commits under way": "pipelined",
    "perdure, half of them writes with intents": "write",
}


def one(name: str, runs: int, seconds: float) -> dict[str, float]:
    """One measurement, in this process."""
    from .raw_limit import raw
    from .waiting import waiting
    from .workload import perdure

    with tempfile.TemporaryDirectory(dir=os.environ.get("PERDURE_BENCH_DIR")) as folder:
        path = Path(folder) / "bench.db"
        if name == "waiting":
            return {"bytes": asyncio.run(waiting(path, trace=bool(runs)))}
        if name == "fsync":
            return {"ms": fsync_ms(Path(folder) / "f")}
        work = (
            raw(path, runs=runs, seconds=seconds)
            if name == "raw"
            else perdure(path, runs=runs, mode=name, seconds=seconds)  # pyright: ignore[reportArgumentType]
        )
        m = asyncio.run(work)
        return {"per_second": m.steps / m.seconds, "cpu_us": m.cpu_seconds / m.steps * 1e6}


def fsync_ms(path: Path) -> float:
    """The median of 200 appends of a page, each made durable."""
    times: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def apart(name: str, runs: int = 0, seconds: float = 0) -> dict[str, float]:
    """One measurement, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.foundation", "--one", name, str(runs), str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def import_ms(statement: str, rounds: int) -> float:
    """The median time that a fresh interpreter needs for a statement, less that of an empty one."""

    def once(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (time.perf_counter() - began) * 1e3

    pairs = [(once(statement), once("pass")) for _ in range(rounds)]
    return statistics.median(a - b for a, b in pairs)


def main() -> None:
    """Measure, print a table, write `results/foundation.json` and `.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("NAME", "RUNS", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    if options.one:
        name, runs, seconds = options.one
        print(json.dumps(one(name, int(runs), float(seconds))))
        return
    figures: list[dict[str, Any]] = []

    def add(contender: str, metric: str, value: float, unit: str, rounds: int) -> None:
        row = {"bench": "foundation", "store": "sqlite", "contender": contender, "metric": metric}
        figures.append({**row, "value": round(value, 3), "unit": unit, "rounds": rounds})

    fsync = apart("fsync")["ms"]
    add("machine", "fdatasync p50", fsync, "ms", 200)
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SQLite "
        f"{apsw.sqlite_lib_version()}, fdatasync p50 {fsync:.2f} ms, medians of {options.rounds} interleaved rounds of "
        f"{options.seconds:.0f} s",
        "",
        "| contender | runs at once | steps/s | of the raw limit | CPU µs/step |",
        "|---|---|---|---|---|",
    ]
    for runs in (64, 512):
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for number in range(options.rounds):
            for name, key in CONTENDERS.items():
                print(f"{runs} runs, round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
                measured[name].append(apart(key, runs, options.seconds))
        limits = [m["per_second"] for m in measured["raw rows, group commit"]]
        for name, found in measured.items():
            rate = statistics.median(m["per_second"] for m in found)
            cpu = statistics.median(m["cpu_us"] for m in found)
            ratio = statistics.median(m["per_second"] / limit for m, limit in zip(found, limits, strict=True))
            add(name, f"steps per second at {runs} runs", rate, "1/s", options.rounds)
            add(name, f"of the raw limit at {runs} runs", ratio, "ratio", options.rounds)
            add(name, f"CPU per step at {runs} runs", cpu, "us", options.rounds)
            lines.append(f"| {name} | {runs} | {rate:,.0f} | {ratio:.2f} | {cpu:.1f} |")
    imports = {code: import_ms(code, 7) for code in ("import perdure", "from perdure import App, Run")}
    for code, ms in imports.items():
        add(code, "time", ms, "ms", 7)
    objects, resident = apart("waiting", 1)["bytes"], apart("waiting", 0)["bytes"]
    add("a waiting run", "Python objects held", objects, "bytes", 1)
    add("a waiting run", "resident memory", resident, "bytes", 1)
    lines += ["", *(f"`{code}`: {ms:.0f} ms" for code, ms in imports.items())]
    lines += [
        "",
        f"A run that waits for a signal holds {objects:,.0f} bytes of objects ({resident:,.0f} of the process), as "
        "the slope between 2,000 and 10,000 of them.",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "foundation.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "foundation.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
