"""The bound that runs give: exact, and as tables have it."""

from __future__ import annotations

import pytest

from perdure.governance.trust import lower_bound, runs_needed


@pytest.mark.parametrize(("rate", "runs"), [(0.9, 29), (0.95, 59), (0.99, 299), (0.0, 0)])
def test_runs_without_a_failure_that_make_sure_of_a_rate(rate: float, runs: int) -> None:
    assert runs_needed(rate) == runs
    if runs:
        assert lower_bound(runs) >= rate > lower_bound(runs - 1)


@pytest.mark.parametrize(
    ("runs", "failures", "bound"),
    # 1 - the upper limits of Clopper and Pearson, as `scipy.stats.beta.ppf(0.05, n - k, k + 1)` gives them
    [(10, 1, 0.6058), (30, 2, 0.8047), (100, 2, 0.9384), (100, 50, 0.4136), (5, 5, 0.0), (1, 0, 0.05)],
)
def test_the_bound_with_failures_is_the_exact_one(runs: int, failures: int, bound: float) -> None:
    assert lower_bound(runs, failures) == pytest.approx(bound, abs=6e-5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="3 failures in 2 runs"):
        lower_bound(2, 3)
