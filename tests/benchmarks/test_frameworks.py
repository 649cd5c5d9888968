"""The bench of other people's frameworks: what it makes of what it found, and a short run of it."""

from pathlib import Path

import pytest

from benchmarks.cases import QUICK, Round
from benchmarks.catalogue import BENCHES
from benchmarks.figures import Figure, Figures
from benchmarks.frameworks_cases import (
    ADDED,
    CEILING,
    FOUNDATION,
    FRAMEWORKS,
    LANGGRAPH_AGENT,
    OF_FOUNDATION,
    PYDANTIC_AI,
    TIMES,
)
from benchmarks.goals import verdicts
from benchmarks.tables import goals_table
from benchmarks.workload import ALONE, Measured

from .test_benchmarks import bench, found


def measured(rate: float, cpu: float, *, ending: str = "") -> Measured:
    return {f"steps per second{ending}": (rate, "1/s"), f"CPU per step{ending}": (cpu, "us")}


def a_round() -> Round:
    of = LANGGRAPH_AGENT
    saver, plain = of.others
    return {
        ("-", of.bare): {**measured(2_000, 500), **measured(1_800, 550, ending=ALONE)},
        ("sqlite", FOUNDATION): {**measured(20_000, 40), **measured(900, 200, ending=ALONE)},
        ("sqlite", of.step): {**measured(1_800, 560), **measured(600, 650, ending=ALONE)},
        ("sqlite", saver): measured(250, 4_000),
        ("sqlite", plain): measured(400, 1_500),
    }


def test_what_a_run_adds_is_told_against_the_same_round() -> None:
    of, round_ = LANGGRAPH_AGENT, a_round()
    FRAMEWORKS.derive(round_)
    ours = round_["sqlite", of.step]
    assert ours[ADDED] == (60, "us")
    assert ours[OF_FOUNDATION] == (1.5, "ratio")
    assert ours[ADDED + ALONE] == (100, "us")
    assert ours[OF_FOUNDATION + ALONE] == (0.5, "ratio")
    assert ours[TIMES] == (4.5, "ratio")  # against the faster of the two
    assert ours[CEILING] == (5, "ratio")
    assert TIMES + ALONE not in ours  # nobody else was measured alone
    assert round_["sqlite", next(iter(of.others))][ADDED] == (3_500, "us")


def test_a_goal_that_the_framework_alone_does_not_reach_says_so() -> None:
    of = LANGGRAPH_AGENT
    figures = Figures(
        [
            Figure("frameworks", "sqlite", of.step, TIMES, 4.5, "ratio", 3),
            Figure("frameworks", "sqlite", of.step, CEILING, 5.0, "ratio", 3),
            Figure("frameworks", "sqlite", PYDANTIC_AI.step, TIMES, 4.5, "ratio", 3),
            Figure("frameworks", "sqlite", PYDANTIC_AI.step, CEILING, 6.0, "ratio", 3),
        ]
    )
    lines = [line for line in goals_table(figures) if "against" in line and "in a run" in line]
    assert lines[2].endswith("| at least 10× | 4.50× | **missed**: without durability it is 5× |")
    assert lines[0].endswith("| at least 5× | 4.50× | **missed** |")
    (verdict,) = (
        v for v in verdicts(figures) if v.store == "sqlite" and v.goal.contender == of.step and v.value
    )
    assert verdict.reached is False and not verdict.allowed


def test_every_contender_is_measured_beside_one_run_of_it() -> None:
    cases = BENCHES["frameworks"].cases(QUICK)
    for store, contender in {(c.store, c.contender) for c in cases}:
        runs = [c.arguments["runs"] for c in cases if (c.store, c.contender) == (store, contender)]
        assert len(runs) == 2 and 1 in runs, contender


@pytest.mark.soak
def test_the_bench_runs_on_sqlite(tmp_path: Path) -> None:
    ended = bench("--only", "frameworks", "--store", "sqlite", results=tmp_path)
    assert ended.returncode == 0, ended.stderr
    figures = found(tmp_path)
    for of in (PYDANTIC_AI, LANGGRAPH_AGENT):
        for name in (of.step, of.pipelined):
            bare = figures.need("frameworks", "-", of.bare, "CPU per step")
            ours = figures.need("frameworks", "sqlite", name, "CPU per step")
            assert figures.need("frameworks", "sqlite", name, ADDED) == pytest.approx(ours - bare, rel=0.01)
            assert figures.need("frameworks", "sqlite", name, "steps per second" + ALONE) > 0
        missing = [figures.find("frameworks", "sqlite", name, "not measured") for name in of.others]
        assert all(m is not None and ".venv-bench" in m.unit for m in missing)
