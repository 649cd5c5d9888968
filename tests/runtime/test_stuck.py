"""Whether an agent gets anywhere, by its calls and what they gave. What is legitimate must not be caught."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from perdure import ConfigError, StuckRules
from perdure.runtime.conversation.stuck import Watch, observed

Call = tuple[str, Any, str]


def found(turns: Iterable[list[Call]], rules: StuckRules | None = None, *, telling: bool = True) -> list[int]:
    """The turns, from 1, at which the watch finds something."""
    watch = Watch(rules or StuckRules())
    at: list[int] = []
    for n, calls in enumerate(turns, 1):
        if watch.turn([observed(tool, args, result, telling=telling) for tool, args, result in calls]):
            at.append(n)
    return at


# stuck -----------------------------------------------------------------------------------------------------------


def test_the_same_call_with_the_same_result() -> None:
    assert found([[("search", {"q": "a"}, "nothing")]] * 5) == [3, 4, 5]
    assert found([[("search", {"q": "a"}, "nothing")]] * 5, StuckRules(same=5)) == [5]


def test_the_order_of_arguments_and_the_layout_of_results_do_not_matter() -> None:
    assert found(
        [
            [("search", {"q": "a", "n": 1}, "not  found at 2026-11-25 10:00:01")],
            [("search", {"n": 1, "q": "a"}, "not found at 2026-11-25T10:00:02Z")],
            [("search", {"n": 1, "q": "a"}, "not found\nat 2026-11-25 10:00:03.5+01:00 ")],
        ]
    ) == [3]


@pytest.mark.parametrize(
    "fresh",
    [
        lambda r: f"request {r.getrandbits(128):032x} failed",
        lambda r: f"error (id 0b5c{r.randrange(16**4):04x}-4c1e-4d2b-9a3f-0a1b2c3d4e5f)",
        lambda r: f"not there ({r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02})",
        lambda r: f"failed at {1_764_000_000 + r.randrange(10**6)}",
    ],
)
def test_ids_and_times_are_no_news(fresh: Callable[[random.Random], str]) -> None:
    source = random.Random(7)
    assert found([[("fetch", {}, fresh(source))] for _ in range(3)]) == [3]


def test_the_same_call_beside_others() -> None:
    turns = [[("search", {"q": "a"}, "nothing"), ("read", {"n": n}, f"page {n}")] for n in range(4)]
    assert found(turns) == [3, 4]


def test_back_and_forth_between_two() -> None:
    turn = [[("open", {"f": "a"}, "text of a")], [("open", {"f": "b"}, "text of b")]]
    assert found(turn * 4) == [6, 7, 8]
    watch = Watch(StuckRules())
    said = [watch.turn([observed(*call) for call in calls]) for calls in turn * 3]
    assert said[-1] is not None
    assert "back and forth" in said[-1]
    assert "`open`" in said[-1]


def test_results_that_have_all_been_seen() -> None:
    turns = [[("search", {"q": f"variant {n}"}, "no results")] for n in range(12)]
    assert found(turns) == [11, 12]
    assert found(turns, StuckRules(nothing_new=None)) == []


def test_waiting_for_ever_is_noticed_also_where_a_counter_runs() -> None:
    turns = [[("status", {}, f"still pending after {n} s")] for n in range(25)]
    assert found(turns) == [20, 21, 22, 23, 24, 25]


def test_turns_without_progress() -> None:
    watch = Watch(StuckRules(without_progress=3))
    marks = [1, 1, 1, 2, 2, 2, 2]
    said = [watch.turn([], marks=m) is not None for m in marks]
    assert said == [False, False, False, False, False, False, True]


def test_after_a_warning_what_counts_over_many_turns_counts_anew_and_a_repetition_does_not() -> None:
    watch = Watch(StuckRules(nothing_new=3))
    stale = [observed("search", {"q": n}, "no results") for n in range(20)]
    assert [watch.turn([one]) is not None for one in stale[:4]] == [False, False, False, True]
    watch.warned()
    assert [watch.turn([one]) is not None for one in stale[4:7]] == [False, False, True]
    watch = Watch(StuckRules())
    again = [observed("search", {}, "no results")]
    assert [watch.turn(again) is not None for _ in range(3)] == [False, False, True]
    watch.warned()
    assert watch.turn(again) is not None


def test_switched_off() -> None:
    assert found([[("search", {}, "nothing")]] * 100, StuckRules.OFF) == []


@pytest.mark.parametrize("value", [1, 0, -3, 2.5, True])
def test_numbers_that_count_no_repetition_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`same={value}`"):
        StuckRules(same=value)


# not stuck -------------------------------------------------------------------------------------------------------


def test_polling_with_results_that_change() -> None:
    states = ["queued", "queued", "building", "building", "testing", "deploying", "done"]
    assert found([[("status", {"job": 7}, state)] for state in states]) == []
    assert found([[("status", {"job": 7}, f"{n * 6} % done")] for n in range(17)]) == []


def test_pages_of_a_list() -> None:
    assert found([[("list", {"page": n}, f"rows {n * 10} to {n * 10 + 9}")] for n in range(50)]) == []


def test_many_files_some_of_them_empty_or_the_same() -> None:
    files = ["", "import os", "", "", "import sys", "", "", "", "", "", "", "", "", "", "", "x = 1"]
    assert found([[("read", {"path": f"{n}.py"}, text)] for n, text in enumerate(files)]) == []


def test_many_writes_that_all_say_done() -> None:
    assert found([[("update", {"row": n}, "ok")] for n in range(50)], telling=False) == []


def test_going_back_to_a_file_after_others() -> None:
    names = ["a", "b", "c", "a", "d", "a", "e", "b", "f", "a"]
    assert found([[("read", {"path": name}, f"text of {name}")] for name in names]) == []


def test_edit_and_test_in_turns() -> None:
    turns: list[list[Call]] = []
    for n in range(8):
        turns += [[("edit", {"line": n}, "ok")], [("test", {}, f"{8 - n} failed, {n} passed")]]
    assert found(turns) == []


def test_the_same_call_twice_in_one_turn_counts_once() -> None:
    assert found([[("read", {"p": 1}, "x")] * 4, [("read", {"p": 2}, "y")]]) == []
