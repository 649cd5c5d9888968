"""What a bench is: measurements that take turns, for so long, on so large a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .workload import Measured

__all__ = ["QUICK", "STORES", "Bench", "Case", "Round", "Scale"]

STORES = ("sqlite", "postgres")


@dataclass(frozen=True)
class Scale:
    """How long and how large."""

    seconds: float = 10
    rounds: int = 3
    runs: tuple[int, ...] = (64, 512)
    held: tuple[int, int] = (2_000, 10_000)
    """between which waiting runs are weighed"""
    waiting: int = 100_000
    finished: int = 1_000_000
    due: int = 20_000
    signals: int = 500
    killed: int = 200
    lease: float = 10
    weighed: int = 10
    """runs whose size is taken"""
    steps: tuple[int, ...] = (1_000, 10_000)
    """of the runs that are replayed"""


QUICK = Scale(
    seconds=0.4,
    rounds=1,
    runs=(64,),
    held=(50, 250),
    waiting=300,
    finished=1_000,
    due=200,
    signals=10,
    killed=20,
    lease=1.5,
    weighed=2,
    steps=(200,),
)


@dataclass(frozen=True)
class Case:
    """One measurement: the function that takes it, with its arguments but for the store's URL."""

    store: str
    """`sqlite`, `postgres`, or `-` where it needs none"""
    contender: str
    measure: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 2
    """how long it takes, for the estimate"""
    group: str | None = None
    """the packages that it needs, in `.venv-bench`; None: the project's own environment"""


Round = dict[tuple[str, str], Measured]
"""What one round found, by store and contender."""


@dataclass(frozen=True)
class Bench:
    """Some measurements that take turns."""

    name: str
    title: str
    cases: Callable[[Scale], list[Case]]
    rounds: Callable[[Scale], int] = lambda scale: scale.rounds
    derive: Callable[[Round], None] = lambda found: None
    """adds ratios to what a round found"""
    note: str = ""
