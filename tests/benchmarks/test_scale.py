"""The simulation of scale, the placement of runs, and the pages that are made of figures."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.catalogue import STEP
from benchmarks.figures import RESULTS, Figure, Figures
from benchmarks.pages import PAGES, render
from benchmarks.placement import SLOTS, Placement, slot
from benchmarks.simulation import Assumptions, Costs, fleet, outage, report

COSTS = Costs(
    worker_cpu=40e-6,
    server_cpu=30e-6,
    log_bytes=2_500,
    stored_bytes=2_000,
    waiting_bytes=1_000,
    wake_worker_cpu=500e-6,
    wake_server_cpu=500e-6,
    replay_cpu=60e-6,
    claims=4_000,
    steps=15_000,
)
SMALL = Assumptions(waiting_runs=1e6, steps_a_second=100_000, kept_days=1, disk_terabytes=2)


def test_a_slot_never_changes() -> None:
    assert slot("acme", "order-1") == 14146
    assert slot("a/b", "c") != slot("a", "b/c")
    assert all(0 <= slot("t", f"r{n}") < SLOTS for n in range(1000))


def test_a_partition_more_takes_its_share_from_all_and_nothing_moves_between_the_others() -> None:
    placement = Placement([f"p{n}" for n in range(10)], slots=4_000)
    before = list(placement.partition)
    share = placement.add("p10")
    changes = [(a, b) for a, b in zip(before, placement.partition, strict=True) if a != b]
    assert {new for _, new in changes} == {"p10"}
    assert len({old for old, _ in changes}) == 10
    assert share == pytest.approx(1 / 11, rel=0.2)
    assert max(Counter(before).values()) < 1.3 * 400


def test_the_fleet_follows_its_costs() -> None:
    base = fleet(COSTS, SMALL, slots=512, keys=1_000)
    assert base.by_disk == pytest.approx((100_000 * 2_000 * 86_400 + 1e9) / 2e12)
    assert base.by_cpu == pytest.approx((100_000 * 30e-6 + base.wakes_a_second * 500e-6) / 16)
    assert base.partitions == 9
    assert fleet(COSTS, replace(SMALL, kept_days=2), slots=512, keys=1_000).partitions == 18
    twice = fleet(replace(COSTS, worker_cpu=80e-6), SMALL, slots=512, keys=1_000)
    assert twice.worker_cores > 1.8 * base.worker_cores


def test_what_piled_up_in_an_outage_is_worked_off_as_fast_as_claims_go() -> None:
    of = fleet(COSTS, SMALL, slots=512, keys=1_000)
    lost = outage(COSTS, SMALL, of)
    assert lost.runs_in_flight == pytest.approx(100_000 / 9 * 2)
    assert lost.going_again_seconds > 40  # the failover, and the lease
    slow = outage(replace(COSTS, claims=400), SMALL, of)
    assert slow.going_again_seconds == pytest.approx(40 + lost.runs_in_flight / 400, abs=2)
    none = outage(replace(COSTS, server_cpu=1), SMALL, of)
    assert none.normal_seconds == float("inf")


def test_a_figure_that_is_missing_is_named_with_what_to_run() -> None:
    with pytest.raises(LookupError, match=r'make bench ARGS="--only steps-512"'):
        report(Figures())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_figures_that_are_kept(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == render(text, Figures.load(RESULTS / "bench.json")), (
        "run `python -m benchmarks --only scale`, which writes the pages anew"
    )


def test_a_page_takes_a_new_figure_in() -> None:
    rate = Figure("steps-64", "postgres", STEP, "steps per second", 12_345.0, "1/s", 3)
    page = render("before\n<!-- bench: carries -->\nold\n<!-- /bench -->\nafter\n", Figures([rate]))
    assert "12,345/s" in page and "old" not in page
    assert page.startswith("before\n") and page.endswith("<!-- /bench -->\nafter\n")
    assert render(page, Figures([rate])) == page
