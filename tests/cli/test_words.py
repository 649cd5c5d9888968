"""Words for times, and text that is not to be trusted."""

import json
from datetime import timedelta

import pytest

from perdure import ConfigError
from perdure.cli.arguments import duration
from perdure.views.story import Axis, Step
from perdure.views.words import ago, pretty, safe, short_span, span, suspicious

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("3d", 259_200),
        ("1h30m", 5400),
        ("90", 90),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2 min", 120),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text, what="--x") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "x", "3x", "d3", "-3d", "3d!", "1e9s", "0", "٣d x"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="--x"):
        duration(text, what="--x")


@pytest.mark.parametrize(
    ("micros", "long", "short"),
    [
        (7, "7 µs", "7µs"),
        (12_345, "12 ms", "12ms"),
        (3.42 * SECOND, "3.4 s", "3.4s"),
        (42 * SECOND, "42 s", "42s"),
        (90 * SECOND, "1 min 30 s", "90s"),
        (3600 * SECOND, "1 h", "60m"),
        (5 * 3600 * SECOND, "5 h", "5h"),
        (3 * 86_400 * SECOND - 1, "2 d 23 h", "3d"),
        (3 * 86_400 * SECOND, "3 d", "3d"),
    ],
)
def test_spans(micros: float, long: str, short: str) -> None:
    assert (span(int(micros)), short_span(int(micros))) == (long, short)


def test_ago() -> None:
    assert ago(0, 0) == "just now"
    assert ago(0, 5 * SECOND) == "5.0s ago"
    assert ago(5 * SECOND, 0) == "in 5.0s"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, näive 日本 🙂", "plain, näive 日本 🙂"),
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200b\u2060\ufeffb", "a\\u200b\\u2060\\ufeffb"),
        ("a\u3164b", "a\\u3164b"),
        ("a\nb\tc", "a\\u000ab\\u0009c"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_nothing_hides(text: str, shown: str) -> None:
    assert safe(text) == shown
    assert safe(safe(text)) == safe(text)


def test_lines_may_be_kept() -> None:
    assert safe("a\nb\x0bc", lines=True) == "a\nb\\u000bc"


def test_json_for_people_is_still_json() -> None:
    value = {"a\u202e": ["\x1b", "é\n", 1, None]}
    assert json.loads(pretty(value)) == json.loads(pretty(value, indent=2)) == value


def test_what_is_suspicious() -> None:
    assert suspicious("Pay Ada 3 €; приве́т мир, γειά") == []
    assert "\\u202e (right-to-left override)" in suspicious("\u202egnp.exe")[0]
    assert suspicious("p\u0430ypal")[0].startswith("`p\u0430ypal` mixes Cyrillic and Latin")


def test_time_in_which_nothing_works_is_drawn_short() -> None:
    hour = 3600 * SECOND
    steps = [
        Step("a", "step", 0, SECOND),
        Step("w", "wait", SECOND, hour),
        Step("b", "step", hour, hour + SECOND),
    ]
    axis = Axis.of(steps, 0, hour + SECOND)
    assert axis.position(0) == 0
    assert axis.position(hour + SECOND) == 1
    assert axis.position(SECOND) == pytest.approx(0.47, abs=0.02)
    assert axis.position(hour) - axis.position(SECOND) < 0.07
    assert axis.position(SECOND // 2) == pytest.approx(axis.position(SECOND) / 2)


def test_a_child_works_while_its_parent_waits() -> None:
    steps = [Step("a", "step", 0, SECOND), Step("c", "wait", SECOND, 3 * SECOND, waits_for="child")]
    axis = Axis.of(steps, 0, 3 * SECOND)
    assert axis.position(SECOND) == pytest.approx(1 / 3)
