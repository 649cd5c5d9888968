"""How names are told apart, and how times are read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from perdure import ConfigError
from perdure.memory.knowledge import moment, shown
from perdure.memory.knowledge.names import DOUBTFUL, blocks, same, similarity, word


@pytest.mark.parametrize(
    ("when", "reads"),
    [
        ("2026", "2026-01-01T00:00:00+00:00"),
        (" 2026-06 ", "2026-06-01T00:00:00+00:00"),
        ("2026-06-15", "2026-06-15T00:00:00+00:00"),
        (date(2026, 6, 15), "2026-06-15T00:00:00+00:00"),
        ("2026-06-15T09:00:00+02:00", "2026-06-15T07:00:00+00:00"),
        (datetime(2026, 6, 15, 9, tzinfo=timezone(timedelta(hours=2))), "2026-06-15T07:00:00+00:00"),
        ("0001-01-01", "0001-01-01T00:00:00+00:00"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999+00:00"),
        (0, "1970-01-01T00:00:00+00:00"),
    ],
)
def test_times_as_people_and_models_say_them(when: str | date | int, reads: str) -> None:
    assert shown(when) == reads
    assert moment(reads) == moment(when)


@pytest.mark.parametrize(
    "when", ["", "June", "2026-13", "2026-02-30", "0000", "2026-06-15T09:00:00", True, 10**18, -(10**18)]
)
def test_what_is_no_time_is_refused_with_what_to_write(when: str | int) -> None:
    with pytest.raises(ConfigError, match="write `"):
        moment(when)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann O'Brien", "ann o brien"),
        ("ANN O’BRIEN", "Ann O'Brien"),
        ("Straße", "STRASSE"),
        ("ｆｕｌｌ", "full"),
        ("e\u0301cole", "École"),
        ("A.B.", "a b"),
        ("???", " ???"),
    ],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    assert same(one) == same(other)


@pytest.mark.parametrize(
    ("one", "other", "doubt"),
    [
        ("Ann Smith", "Anna Smith", True),
        ("Ann Smith", "Smith, Ann", True),
        ("José García", "Jose Garcia", True),
        ("Michael Jones", "Micheal Jones", True),
        ("Ann Smith", "Bob Jones", False),
        ("Acme", "Akme", False),
        ("", "Ann", False),
    ],
)
def test_names_that_may_be_the_same(one: str, other: str, doubt: bool) -> None:
    assert (similarity(one, other) >= DOUBTFUL) is doubt
    assert same(one) != same(other)
    if doubt:
        assert set(blocks(one)) & set(blocks(other)), "nobody would compare them"


def test_relations_are_written_one_way() -> None:
    assert {word(text, what="a relation") for text in ("Works at", "works-at", " WORKS_AT ")} == {"works_at"}
