"""Plans: all schedules that are tried on a run, made from how it goes when it is left alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ...journal import Kind
from ..kills import Boundary
from .schedule import TOOL_FAULTS, Hit, KindName, Schedule, label, place
from .struck import Places
from .trial import Outcome

__all__ = ["MODEL_FAULTS_SERVED", "every_boundary", "hits_of", "random_schedules", "smaller"]

MODEL_FAULTS_SERVED = (
    "overloaded", "rate_limited", "server_error", "dropped", "cut_off", "half_body", "wrong_schema", "blank",
    "bad_arguments",
)  # fmt: skip
"""What a model server does at each turn."""

_DEEPEST = 3
"""Of the calls of a tool, how many of the first are struck."""

_SECOND = (1, 2)
"""Where the second worker dies: at the first entry that it writes (its claim) and the next."""

_STORE_PLACES = 12
"""A store that is away costs a second; so it is at no more places than this, spread over the run."""


def boundaries(places: Places) -> list[Boundary]:
    """Before and after each append, by names that hold from run to run."""
    found: list[Boundary] = []
    seen: Counter[tuple[int, str]] = Counter()
    for entries in places:
        kind, key = label(entries)
        seen.update(set(entries))
        found += [place("before", entries, seen[kind, key]), place("after", entries, seen[kind, key])]
    return found


def hits_of(reference: Outcome, kinds: Collection[KindName], *, served: bool) -> list[Hit]:
    """Each single fault that can strike such a run."""
    found: list[Hit] = []
    places = boundaries(reference.places)
    for kind in ("kill", "freeze"):
        if kind in kinds:
            found += [Hit(kind, at) for at in places]
    if "store" in kinds:
        step = -(-len(places) // _STORE_PLACES)
        found += [Hit("store", at) for at in places[:: step if step % 2 or step == 1 else step + 1]]
    if "worker" in kinds:
        found.append(Hit("worker"))
    if "answer" in kinds:
        found += [Hit("answer", how=how) for how in ("late", "twice")]
    if "tool" in kinds:
        for tool, calls in sorted(reference.calls.items()):
            found += [
                Hit("tool", name=tool, how=how, nth=nth)
                for nth in range(1, min(calls, _DEEPEST) + 1)
                for how in TOOL_FAULTS
            ]
    if "model" in kinds:
        faults = MODEL_FAULTS_SERVED if served else ("transient", "permanent")
        turns = range(1, min(reference.turns, _DEEPEST) + 1)
        found += [Hit("model", how=how, nth=nth) for nth in turns for how in faults]
    return found


def every_boundary(reference: Outcome, kinds: Collection[KindName], *, served: bool) -> list[Schedule]:
    """Each fault alone, and each kill with a second one soon after."""
    found: list[Schedule] = []
    for hit in hits_of(reference, kinds, served=served):
        found.append(Schedule.of(hit))
        if hit.kind == "kill":
            found += [
                Schedule.of(hit, Hit("kill", Boundary(when, nth=nth)))
                for nth in _SECOND
                for when in ("before", "after")
            ]
    return sorted(found, key=_order)


def with_kills(outcome: Outcome) -> list[Schedule]:
    """Of a run whose tool or model failed: a kill at each entry of what failed and of what was done about it."""
    hits = outcome.schedule.hits
    told = {hit.name for hit in hits}
    failed = {key for entries in outcome.places for kind, key in entries if kind in _OF_FAILURE}
    return [
        Schedule.of(*hits, Hit("kill", at))
        for at in boundaries(outcome.places)
        if at.step is not None and (at.step in failed or _name(at.step) in told)
    ]


_OF_FAILURE = (Kind.ATTEMPT, Kind.FAILED, Kind.UNKNOWN)


def _name(key: str) -> str:
    """Of the key `gather.1/price:2`, the step's name `price`."""
    return key.rpartition("/")[2].partition(":")[0]


def random_schedules(
    reference: Outcome, kinds: Collection[KindName], *, served: bool, count: int, seed: int
) -> list[Schedule]:
    """So many different ones, of one to four faults; the same for the same seed."""
    drawn = random.Random(seed)
    pool = hits_of(reference, kinds, served=served)
    found: dict[Schedule, None] = {}
    if not pool:
        return []
    for _ in range(count * 20):
        if len(found) == count:
            break
        hits = drawn.sample(pool, k=min(len(pool), drawn.choice((1, 2, 2, 3, 4))))
        found[Schedule(tuple(_sorted(hits, pool)))] = None
    return list(found)


def _sorted(hits: Sequence[Hit], pool: Sequence[Hit]) -> Iterator[Hit]:
    """Hits in the order of the run. What strikes after another is counted from there."""
    ordered = sorted(hits, key=pool.index)
    first = True
    for hit in ordered:
        if hit.at is None:
            yield hit
        elif first:
            first = False
            yield hit
        else:  # a place of its name need not come again in the life of the next worker: any entry will do
            yield Hit(hit.kind, Boundary(hit.at.when, nth=1 + pool.index(hit) % 5))


def _order(schedule: Schedule) -> int:
    return len(schedule.hits)


def smaller(schedule: Schedule) -> Iterator[Schedule]:
    """What is left when faults are taken out: the smallest first, and never nothing."""
    hits = schedule.hits
    subsets = [
        tuple(hit for i, hit in enumerate(hits) if mask & (1 << i)) for mask in range(1, (1 << len(hits)) - 1)
    ]
    for left in sorted(subsets, key=len):
        yield Schedule(left)
