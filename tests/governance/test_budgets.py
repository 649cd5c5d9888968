"""What a budget is, which periods it has, and when it does not hold what a call needs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from perdure import ConfigError
from perdure.core.clock import from_micros, to_micros
from perdure.core.settings import load_settings
from perdure.governance import Amount, Budget, budget_of, period_at
from perdure.governance.budgets import exhausted_by
from perdure.governance.periods import Per, zone


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "limits nothing"),
        ({"money": -1}, "-1"),
        ({"tokens": 1.5}, "1.5"),
        ({"model_calls": True}, "True"),
        ({"wall_clock": timedelta()}, "wall_clock"),
        ({"money": 1, "per": "year"}, "year"),
        ({"money": 1, "on_limit": "beg"}, "beg"),
        ({"money": 1, "reserve": 1}, "reserve"),
        ({"money": 1, "children": 0}, "children"),
        ({"money": 1, "warn": (2,)}, "warn"),
        ({"money": 1, "timezone": "Europe/Atlantis"}, "Atlantis"),
    ],
)
def test_a_budget_that_cannot_mean_anything_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Budget(**given)


def test_a_period_is_for_many_runs_and_wall_clock_for_one() -> None:
    with pytest.raises(ConfigError, match="per=day"):
        Budget(money=1, per="day").for_run("agent `a`")
    with pytest.raises(ConfigError, match="wall_clock"):
        Budget(wall_clock=timedelta(hours=1)).for_all("tenant `t`")


def test_a_budget_survives_json() -> None:
    budget = Budget(
        money="12.3456789",
        tokens=5,
        active_time=timedelta(minutes=5),
        per="week",
        timezone="Europe/Berlin",
        on_limit="finish",
        reserve=0.25,
        warn=(0.9, 0.5),
        children=1,
        allow_unpriced=False,
    )
    again = Budget.from_json(budget.to_json())

    assert again.limits == budget.limits == {"money": 12_345_678_900, "tokens": 5, "active_time": 300_000_000}
    assert again.to_json() == budget.to_json()
    assert again.warn == (0.5, 0.9)


def test_what_is_held_back_for_the_last_call_is_rounded_up() -> None:
    budget = Budget(money=1, model_calls=5, wall_clock=timedelta(hours=1), on_limit="finish")

    assert budget.held_back(budget.limits) == {"money": 100_000_000, "model_calls": 1}
    assert Budget(money=1).held_back({"money": 10**9}) == {}


def test_budgets_stand_in_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text(
        "[budget.tenant]\nmoney = 50\nper = 'day'\ntimezone = 'Europe/Berlin'\n"
        "[budget.agents.desk]\ntokens = 1000\nper = 'hour'\non_limit = 'stop'\n"
        "[budget.run]\nwall_clock = 'PT1H'\nmoney = '0.1'\n"
    )
    budget = load_settings(file).budget

    assert budget.tenant is not None
    assert budget.run is not None
    assert budget_of(budget.tenant) == Budget(money=Decimal(50), per="day", timezone="Europe/Berlin")
    assert budget_of(budget.agents["desk"]) == Budget(tokens=1000, per="hour", on_limit="stop")
    assert budget_of(budget.run).limits == {"money": 100_000_000, "wall_clock": 3_600_000_000}


# periods --------------------------------------------------------------------------------------------------------


def spans(per: Per, where: str, *at: int) -> tuple[str, datetime, datetime]:
    found = period_at(per, to_micros(datetime(*at, tzinfo=UTC)), zone(where))  # type: ignore[arg-type]
    assert found.ends is not None
    return found.name, from_micros(found.starts), from_micros(found.ends)


def utc(*at: int) -> datetime:
    return datetime(*at, tzinfo=UTC)  # type: ignore[arg-type]


def test_periods_are_those_of_the_zones_calendar() -> None:
    berlin = "Europe/Berlin"
    assert spans("day", "UTC", 2026, 11, 25, 23, 30) == ("2026-11-25", utc(2026, 11, 25), utc(2026, 11, 26))
    assert spans("day", berlin, 2026, 11, 25, 23, 30) == (
        "2026-11-26",
        utc(2026, 11, 25, 23),
        utc(2026, 11, 26, 23),
    )
    assert spans("week", "UTC", 2027, 1, 1) == ("2026-W53", utc(2026, 12, 28), utc(2027, 1, 4))
    assert spans("month", "UTC", 2026, 12, 31, 23) == ("2026-12", utc(2026, 12, 1), utc(2027, 1, 1))
    assert spans("hour", berlin, 2026, 11, 25, 13, 59) == (
        "2026-11-25T14+0100",
        utc(2026, 11, 25, 13),
        utc(2026, 11, 25, 14),
    )


def test_a_day_on_which_the_clocks_change_is_longer_or_shorter() -> None:
    name, start, end = spans("day", "Europe/Berlin", 2026, 10, 25, 12)

    assert (name, end - start) == ("2026-10-25", timedelta(hours=25))


def test_the_hour_that_a_clock_shows_twice_is_two() -> None:
    first = spans("hour", "Europe/Berlin", 2026, 10, 25, 0, 30)
    second = spans("hour", "Europe/Berlin", 2026, 10, 25, 1, 30)

    assert first[0] != second[0]
    assert first[2] == second[1]


# holding --------------------------------------------------------------------------------------------------------


def test_the_dimension_that_does_not_hold_is_named() -> None:
    limits = {"money": 100, "model_calls": 3}

    assert exhausted_by(limits, Amount(money=40, model_calls=2), Amount(money=60, model_calls=1)) is None
    assert exhausted_by(limits, Amount(money=41), Amount(money=60)) == ("money", 100, 41, 60)
    assert exhausted_by(limits, Amount(model_calls=3), Amount(model_calls=1)) == ("model_calls", 3, 3, 1)


def test_what_a_call_does_not_need_does_not_stop_it() -> None:
    assert exhausted_by({"money": 100}, Amount(money=120), Amount(tool_calls=1)) is None


def test_no_call_begins_when_the_time_is_over() -> None:
    assert exhausted_by({"active_time": 100}, Amount(active_time=99), Amount()) is None
    assert exhausted_by({"active_time": 100}, Amount(active_time=100), Amount()) is not None
