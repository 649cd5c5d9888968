"""The watchers that are built in: what they find in facts, how soon, and what they leave alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from perdure import Fact, Watch
from perdure.core.ids import RunRef
from perdure.governance.watching import Anomalies, Finding, Violations
from perdure.governance.watching.habits import learn, novel, unusual
from perdure.governance.watching.student import t_cdf
from perdure.governance.watching.watcher import Look


class Rights:
    """Keeps what is reported, and what was seen."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self.states: dict[str, dict[str, Any]] = {}
        self.seen: list[Fact] = []

    async def run(self, run_id: str) -> None:
        return None

    async def facts(self, run_id: str, *, until: int | None) -> Sequence[Fact]:
        return [f for f in self.seen if f.ref.id == run_id and (until is None or f.seq < until)]

    async def suspend(self, who: Any, reason: str) -> bool:
        raise AssertionError

    async def report(self, finding: Finding) -> None:
        self.found.append((finding.run, finding.what))

    def state(self, key: str) -> dict[str, Any]:
        return self.states.setdefault(key, {})


class Scene:
    """One watcher, and facts for it."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.rights = Rights()
        self.seq: dict[str, int] = {}

    async def see(self, run: str, what: str, **more: Any) -> None:
        seq = self.seq[run] = self.seq.get(run, 0) + 1
        fact = Fact(
            ref=RunRef("t", run), agent="desk", version="1", generation=1, seq=seq, at=seq, took=0, hash="",
            what=what, **more,
        )  # fmt: skip
        await self.look(Watch("w", fact, self.rights), fact)
        self.rights.seen.append(fact)

    async def run(
        self, name: str, *, calls: int, spend: int = 0, tool: str = "look", **arguments: Any
    ) -> None:
        await self.see(name, "run.started")
        for _ in range(calls):
            await self.see(name, "tool.called", tool=tool, contents={"arguments": arguments})
        if spend:
            await self.see(name, "cost.charged", details={"amount": {"money": spend}})
        await self.see(name, "run.ended")


async def test_a_run_that_goes_on_trying_what_it_may_not() -> None:
    scene = Scene(Violations(denials=3))
    await scene.see("r", "run.started")
    for _ in range(2):
        await scene.see("r", "policy.deny", tool="pay")
        await scene.see("other", "policy.deny", tool="pay")
    assert scene.rights.found == []
    scene.look = Violations(denials=3)  # another worker, which has seen nothing of it
    await scene.see("r", "scope.denied", tool="pay", contents={"requires": "payments:write"})
    assert scene.rights.found == [("r", "denied")]
    await scene.see("s", "scope.denied", tool="wipe", contents={"zone": "default"})
    assert scene.rights.found[-1] == ("s", "outside")
    await scene.see("f", "policy.deny", taken_over=True)
    assert len(scene.rights.found) == 2


async def test_a_run_that_loops_is_found_while_it_does_and_is_no_example() -> None:
    draw = random.Random(7)
    scene = Scene(Anomalies(learn=20, one_in=10_000))
    for n in range(20):
        await scene.run(f"r{n}", calls=draw.randint(4, 8), spend=draw.randint(4, 8) * 10**6)
    assert scene.rights.found == []
    await scene.see("loop", "run.started")
    calls = 0
    while not scene.rights.found and calls < 200:
        calls += 1
        await scene.see("loop", "tool.called", tool="look", contents={"arguments": {}})
    assert scene.rights.found == [("loop", "rate")]
    assert 12 <= calls <= 60
    known = scene.rights.states["desk"]["calls"]["n"]
    await scene.see("loop", "run.ended")
    assert scene.rights.states["desk"]["calls"]["n"] == known


async def test_a_run_that_spends_far_more() -> None:
    scene = Scene(Anomalies(learn=20, one_in=10_000))
    for n in range(30):
        await scene.run(f"r{n}", calls=5, spend=(9 + n % 3) * 10**6)
    await scene.run("dear", calls=5, spend=10**9)
    assert scene.rights.found == [("dear", "spend")]


async def test_a_tool_that_no_run_has_called_and_a_shape_that_no_call_had() -> None:
    scene = Scene(Anomalies(learn=10, one_in=10_000))
    for n in range(30):
        await scene.run(f"r{n}", calls=5, to="a", amount=1)
    await scene.run("same", calls=5, to="somebody else", amount=3)
    assert scene.rights.found == []
    await scene.run("new-shape", calls=1, to="a", amount=1, bcc=["x"])
    await scene.run("new-tool", calls=1, tool="wipe")
    assert scene.rights.found == [("new-shape", "novel"), ("new-tool", "novel")]


async def test_of_an_agent_that_is_hardly_known_nothing_is_said() -> None:
    scene = Scene(Anomalies(learn=20, one_in=10_000))
    for n in range(8):
        await scene.run(f"r{n}", calls=1, spend=10**6, tool=f"tool{n}")
    await scene.run("wild", calls=500, spend=10**10, tool="wild")
    assert scene.rights.found == []


def test_how_often_what_is_usual_is_called_unusual() -> None:
    """The promise of `one_in`, at small numbers, for what is log-normal: measured over many agents."""
    draw, wrong, judged, drifts = random.Random(1), 0, 0, 0
    for _ in range(300):
        habit: dict[str, Any] = {}
        for n in range(120):
            value = draw.lognormvariate(2, 0.8)
            if n >= 20:
                judged += 1
                wrong += unusual(habit, value, after=20, one_in=1000) is not None
            drifts += learn(habit, value, after=20, one_in=1000)
    assert wrong / judged < 2 / 1000
    assert drifts / judged < 2 / 1000


def test_how_soon_a_small_change_is_found() -> None:
    draw, delays = random.Random(2), list[int]()
    for _ in range(50):
        habit: dict[str, Any] = {}
        for _ in range(60):
            learn(habit, draw.lognormvariate(2, 0.4), after=20, one_in=10_000)
        habit["sum"] = 0.0
        delays.append(
            next(
                n for n in range(1000) if learn(habit, draw.lognormvariate(2.5, 0.4), after=20, one_in=10_000)
            )
        )
    assert sorted(delays)[25] < 25


def test_what_is_new_is_unusual_only_where_little_is() -> None:
    seen: dict[str, int] = {}
    assert not any(novel(seen, f"kind{n}") for n in range(100))  # always something new: nothing unusual
    seen = {"a": 500, "b": 300}
    assert novel(seen, "c")
    assert not novel(seen, "c")


@pytest.mark.parametrize(
    ("t", "dof", "p"),
    [(0.0, 5, 0.5), (12.706, 1, 0.975), (2.015, 5, 0.95), (-1.729, 19, 0.05), (3.090, 1000, 0.99897)],
)
def test_students_t(t: float, dof: int, p: float) -> None:
    assert t_cdf(t, dof) == pytest.approx(p, abs=2e-5)
