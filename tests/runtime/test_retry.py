"""Retry policies: their bounds, for any numbers."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import ConfigError, Diagnosis, FailureClass, Retry

TRANSIENT = Diagnosis(FailureClass.TRANSIENT)
ZERO = timedelta()


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


durations = st.timedeltas(min_value=ZERO, max_value=timedelta(days=7))
draws = st.floats(min_value=0, max_value=1, exclude_max=True)


@st.composite
def policies(draw: st.DrawFn) -> Retry:
    first = draw(durations)
    return Retry(
        attempts=draw(st.integers(1, 2000)),
        total=draw(st.none() | durations),
        first=first,
        most=first + draw(durations),
        factor=draw(st.floats(1, 1000)),
    )


@given(policies(), st.integers(1, 3000), draws, durations, st.none() | st.floats(0, 1e15))
def test_the_bounds(
    policy: Retry, attempt: int, draw: float, passed: timedelta, retry_after: float | None
) -> None:
    diagnosis = Diagnosis(FailureClass.TRANSIENT, retry_after=retry_after)
    wait = policy.wait(attempt, diagnosis, lambda: draw, passed=passed)
    if attempt >= policy.attempts:
        assert wait is None
        return
    left = None if policy.total is None else policy.total - passed
    asked = retry_after or 0.0
    if left is not None and (left <= ZERO or asked > left.total_seconds() + 1e-6):
        assert wait is None
    if wait is None:
        assert left is not None
        return
    ten_years = timedelta(days=3650).total_seconds()
    assert wait.total_seconds() >= min(asked, ten_years) - 1e-6, "sooner than the receiver asked"
    assert wait >= ZERO
    assert wait <= seconds(min(asked, ten_years)) + policy.most + seconds(1e-6)
    assert left is None or wait <= left, "the last attempt begins after the total"


@given(policies(), st.lists(draws, min_size=1, max_size=50))
def test_it_ends(policy: Retry, drawn: list[float]) -> None:
    """However it is drawn, there are at most `attempts`, and the last begins within `total`."""
    passed, attempt, source = ZERO, 1, itertools.cycle(drawn)
    while attempt < 100:
        wait = policy.wait(attempt, TRANSIENT, lambda: next(source), passed=passed)
        if wait is None:
            break
        passed, attempt = passed + wait, attempt + 1
        assert attempt <= policy.attempts
        assert policy.total is None or passed <= policy.total


def test_pauses_grow_and_are_bounded() -> None:
    policy = Retry(attempts=9, total=None, first=seconds(1), most=seconds(10), factor=2)
    # The greatest draw that there is shows the bound.
    waits = [policy.wait(n, TRANSIENT, lambda: 1.0) for n in range(1, 10)]
    assert waits == [seconds(s) for s in (1, 2, 4, 8, 10, 10, 10, 10)] + [None]


def test_full_jitter_begins_at_nothing() -> None:
    assert Retry().wait(1, TRANSIENT, lambda: 0.0) == ZERO
    assert Retry(first=seconds(4)).wait(1, TRANSIENT, lambda: 0.25) == seconds(1)


def test_those_who_are_told_the_same_moment_do_not_come_all_at_it() -> None:
    asked = Diagnosis(FailureClass.OVERLOADED, retry_after=30)
    policy = Retry(first=seconds(2))
    assert policy.wait(1, asked, lambda: 0.0) == seconds(30)
    assert policy.wait(1, asked, lambda: 0.5) == seconds(31)


def test_a_wait_beyond_the_total_is_the_end() -> None:
    policy = Retry(total=seconds(60))
    assert policy.wait(1, Diagnosis(FailureClass.OVERLOADED, retry_after=61), lambda: 0.0) is None
    assert (
        policy.wait(1, Diagnosis(FailureClass.OVERLOADED, retry_after=31), lambda: 0.0, passed=seconds(30))
        is None
    )
    assert policy.wait(
        1, Diagnosis(FailureClass.OVERLOADED, retry_after=30), lambda: 0.5, passed=seconds(30)
    ) == seconds(30)


@pytest.mark.parametrize("failure", FailureClass)
def test_which_classes_are_tried_again(failure: FailureClass) -> None:
    wait = Retry().wait(1, Diagnosis(failure), lambda: 0.5)
    assert (wait is not None) == (failure in {FailureClass.TRANSIENT, FailureClass.OVERLOADED})
    assert Retry.NEVER.wait(1, Diagnosis(failure), lambda: 0.5) is None


def test_a_class_may_have_a_policy_of_its_own() -> None:
    policy = Retry(
        attempts=2,
        classes={
            FailureClass.OVERLOADED: Retry(attempts=9),
            FailureClass.INVALID_OUTPUT: Retry(on=frozenset()),
        },
    )
    assert policy.wait(2, TRANSIENT, lambda: 0.5) is None
    assert policy.wait(8, Diagnosis(FailureClass.OVERLOADED), lambda: 0.0) is not None
    # To be named is enough: what its own `on` says is of no matter.
    assert policy.wait(1, Diagnosis(FailureClass.INVALID_OUTPUT), lambda: 0.0) is not None


def test_classes_by_their_names() -> None:
    names: Any = ["refused"]
    assert Retry(on=names).on == {FailureClass.REFUSED}
    own: Any = {"refused": Retry(attempts=2)}
    assert Retry(classes=own).policy(FailureClass.REFUSED).attempts == 2
    assert hash(Retry(classes=own)) == hash(Retry())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"attempts": 0}, "attempts `0`"),
        ({"attempts": True}, "attempts `True`"),
        ({"first": 2}, "`first` of a retry is `2`"),
        ({"first": timedelta(seconds=-1)}, "`first`"),
        ({"total": timedelta.max}, "`total`"),
        ({"most": seconds(0.1)}, "below the first"),
        ({"factor": 0.5}, "factor `0.5`"),
        ({"factor": float("nan")}, "factor `nan`"),
        ({"on": ["hopeless"]}, "`hopeless` is no class of failure"),
        ({"classes": {"transient": 3}}, "`transient` is `3`"),
        ({"classes": {"transient": Retry(classes={FailureClass.REFUSED: Retry()})}}, "without `classes`"),
    ],
)
def test_numbers_that_make_no_sense(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Retry(**arguments)
