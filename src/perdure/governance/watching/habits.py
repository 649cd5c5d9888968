"""What is usual for an agent: how much its runs do, and what they call; learned from few of them, and said so.

How much (calls, money) is looked at as logarithms, which makes twice as much as far away as half as much:

- One run against those before it: by Student's t, whose tails are wide where little is known. With n runs before it,
  what is less likely than 1 in `one_in` is unusual (the prediction interval of a normal distribution).
- Many runs, each a little more: a CUSUM that starts itself (Hawkins 1987, doi:10.1080/00401706.1987.10488276): each
  run's t, by its own number of runs before, becomes a normal score, so that nothing has to be known beforehand. The
  score's log-likelihood ratio of one standard deviation more is summed up; at ln(`one_in`) it is reported, so that this
  happens within `one_in` usual runs at most once (Lorden 1971).

What (tools, shapes of arguments) is looked at by Good and Turing (1953): the chance that the next call is of a kind
never seen is about the share of kinds that were seen once. Something new is unusual only where that chance is small.
"""

from __future__ import annotations

from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

from .student import t_cdf

__all__ = ["learn", "novel", "unusual"]

LEAST_SPREAD = 0.15
"""of the logarithm: runs that were all alike do not make the next, which does a little more, impossible"""

FIRST_SCORES = 8
"""runs before a run has a score"""

KINDS = 300
"""that are kept apart for an agent"""

NEW = 0.02
"""The chance of something new, below which it is unusual."""

_normal = NormalDist()


def unusual(habit: dict[str, Any], value: float, *, after: int, one_in: int) -> float | None:
    """What is usual (the geometric mean), where `value` is unusually much after at least `after` runs; else None.

    At least twice as much is asked for in any case: what is certain is not always worth an alarm.
    """
    n = int(habit.get("n", 0))
    if n < after or value < 2 * (usual := exp(habit["mean"])):
        return None
    return usual if 1 - _place(habit, log(value)) < 1 / one_in else None


def learn(habit: dict[str, Any], value: float, *, after: int, one_in: int) -> bool:
    """Add a run that has ended. Whether, after at least `after` runs, they have come to do more than they did."""
    n, x = int(habit.get("n", 0)), log(max(value, 1e-9))
    drifted = False
    if n >= FIRST_SCORES:
        score = _normal.inv_cdf(min(max(_place(habit, x), 1e-4), 1 - 1e-4))
        habit["sum"] = max(0.0, habit.get("sum", 0.0) + score - 0.5)
        drifted = n >= after and habit["sum"] > log(one_in)
        if drifted:
            habit["sum"] = 0.0
    mean = habit.get("mean", 0.0)
    habit["n"] = n + 1
    habit["mean"] = mean + (x - mean) / (n + 1)
    habit["squares"] = habit.get("squares", 0.0) + (x - mean) * (x - habit["mean"])
    return drifted


def _place(habit: dict[str, Any], x: float) -> float:
    """Where it lies among the runs before it: from 0 to 1."""
    n = habit["n"]
    spread = max(sqrt(habit["squares"] / (n - 1)), LEAST_SPREAD)
    return t_cdf((x - habit["mean"]) / (spread * sqrt(1 + 1 / n)), n - 1)


def novel(seen: dict[str, int], kind: str) -> bool:
    """Count a call of a kind. Whether it is new, where something new is hardly to be expected."""
    calls = sum(seen.values())
    if kind in seen:
        seen[kind] += 1
        return False
    if len(seen) < KINDS:
        seen[kind] = 1
    once = sum(1 for count in seen.values() if count == 1)  # with this one: an estimate on the safe side
    return once / (calls + 1) < NEW
