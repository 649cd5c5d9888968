"""What speaks for a wider ring: the runs that count, and the bound that they give, exact and as tables have it."""

from __future__ import annotations

import pytest

from perdure import TrustRefused
from perdure.governance.trust import lower_bound, runs_needed
from perdure.testing import until_waiting
from tests.trust.desks import Bank, made


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


async def test_runs_count_where_something_could_have_told() -> None:
    bank = Bank()
    async with made("memory://", bank, ring="observe", trust={"needed": {"draft": 0.3}}) as app:
        runs = [await app.start("desk", n) for n in range(4)]
        for run in runs:
            await run.result()
        assert (await app.trust.evidence("desk", "pay")).unjudged == 4
        with pytest.raises(
            TrustRefused, match=r"0 runs with 0 failures .* and `draft` needs 30%: 3 without a failure"
        ):
            await app.trust.propose("desk", "pay", "draft", by="bob")
        await app.outcome(runs[0].id, False, by="ann")
        for run in runs[:3]:
            await app.outcome(run.id, True, by="ann")  # the last word counts
        found = await app.trust.evidence("desk", "pay")
        assert (found.runs, found.failures, found.unjudged, found.calls, found.rate) == (3, 0, 1, 3, 0.3684)
        assert (await app.trust.evidence("desk", "*")).runs == 3
        assert (await app.trust.evidence("desk", "look")).runs == 0
        change = await app.trust.propose("desk", "pay", "draft", by="bob")
        assert change.evidence["runs"] == 3 and change.evidence["versions"] == {"1": 3}
        await app.outcome(runs[3].id, False, by="ann")
        found = await app.trust.evidence("desk", "pay")
        assert (found.failures, found.why, found.failed) == (1, {"outcome": 1}, [runs[3].id])


async def test_a_persons_no_and_a_failed_check_count_against_it_and_only_since_the_last_change() -> None:
    bank = Bank()
    async with made("memory://", bank, ring="act_after_approval") as app:
        for yes in (True, False, True):
            bank.right = bank.right and yes
            run = await app.start("desk", 100)
            await until_waiting(app, run, "approval")
            (asked,) = await app.open_approvals(run.id)
            await app.answer(run.id, "pay", approved=yes, by="eve", digest=asked.digest, reason="no")
            await run.ending()
        found = await app.trust.evidence("desk", "pay", since=0)
        assert (found.runs, found.failures, found.why) == (3, 2, {"rejected": 1, "check": 1})
        # the check narrowed the ring, and the count begins anew
        assert (await app.trust.evidence("desk", "pay")).runs == 0
