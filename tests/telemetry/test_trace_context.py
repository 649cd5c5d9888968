"""The rules of W3C Trace Context, by its own examples."""

from __future__ import annotations

import pytest

from perdure.core.ids import RunRef
from perdure.core.tracing import TraceContext, step_span, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_what_is_read_is_what_is_sent() -> None:
    read = TraceContext.parse(GOOD, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert read == TraceContext(TRACE, SPAN, True, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert read.headers() == {"traceparent": GOOD, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
    assert TraceContext.told_by(read.told()) == read


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"{GOOD},{GOOD}",
    ],
)
def test_a_parent_that_is_none_begins_a_trace(parent: str | None) -> None:
    assert TraceContext.parse(parent, "rojo=1") is None


@pytest.mark.parametrize("parent", [f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"])
def test_of_a_later_version_what_the_first_has_is_read(parent: str) -> None:
    assert TraceContext.parse(parent) == TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_one_flag_is_known(flags: str, sampled: bool) -> None:
    read = TraceContext.parse(f"00-{TRACE}-{SPAN}-{flags}")
    assert read is not None
    assert read.sampled is sampled
    assert read.parent == f"00-{TRACE}-{SPAN}-{'01' if sampled else '00'}"


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("foo=1", "foo=1"),
        ("foo=1 , bar=2,", "foo=1,bar=2"),
        ("fw529a3039@dt=FfD", "fw529a3039@dt=FfD"),
        ("foo=1,foo=2", ""),
        ("foo", ""),
        ("FOO=1", ""),
        ("foo=a=b", ""),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        (",".join(f"k{n}={'x' * 200}" for n in range(32)), ",".join(f"k{n}={'x' * 200}" for n in range(10))),
    ],
)
def test_a_state_is_handed_on_as_it_is_or_not_at_all(state: str, kept: str) -> None:
    read = TraceContext.parse(GOOD, state)
    assert read is not None
    assert read.state == kept


def test_ids_follow_from_names() -> None:
    ref = RunRef("acme", "r1")
    assert trace_of(ref) == trace_of(ref)
    assert trace_of(ref).trace_id != trace_of(RunRef("other", "r1")).trace_id
    assert step_span(ref, "pay") != step_span(ref, "pay", 2)
    assert TraceContext.parse(trace_of(ref).below(step_span(ref, "pay")).parent) is not None
