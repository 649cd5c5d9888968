"""What was measured: one object a figure, in one JSON file, where the newest replaces what stood there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .catalogue import BENCHES

__all__ = ["RESULTS", "Figure", "Figures"]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `value` is text for versions and dates, and None where a contender could not be measured."""

    bench: str
    store: str
    """`sqlite`, `postgres`, or `-`"""
    contender: str
    metric: str
    value: float | str | None
    unit: str
    rounds: int
    """it is the median of so many"""

    @property
    def key(self) -> tuple[str, str, str]:
        """What was measured: figures of one key are replaced together."""
        return self.bench, self.store, self.contender


class Figures:
    """All figures of one file, in the order in which they came."""

    def __init__(self, figures: Iterable[Figure] = ()) -> None:
        self.all = list(figures)

    @classmethod
    def load(cls, path: Path) -> Figures:
        """The figures in a file; none where it is missing."""
        return cls(Figure(**row) for row in json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """Write them, one object a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n".join(" " + json.dumps(asdict(figure), ensure_ascii=False) for figure in self.all)
        path.write_text(f"[\n{rows}\n]\n")

    def merge(self, newer: Sequence[Figure]) -> None:
        """Take newer figures in: all that stood for the same bench, store and contender is replaced."""
        keys = {f.key for f in newer}
        kept = [f for f in self.all if f.key not in keys]
        benches = ["machine", *BENCHES]
        places = {key: n for n, key in enumerate(dict.fromkeys(f.key for f in [*self.all, *newer]))}

        def place(figure: Figure) -> tuple[int, int]:
            known = figure.bench in benches
            return benches.index(figure.bench) if known else len(benches), places[figure.key]

        self.all = sorted([*kept, *newer], key=place)

    def find(self, bench: str, store: str, contender: str, metric: str) -> Figure | None:
        """One figure, where it is there."""
        wanted = (bench, store, contender, metric)
        return next((f for f in self.all if (f.bench, f.store, f.contender, f.metric) == wanted), None)

    def number(self, bench: str, store: str, contender: str, metric: str) -> float | None:
        """Its value, where it is there and a number."""
        found = self.find(bench, store, contender, metric)
        return float(found.value) if found and isinstance(found.value, int | float) else None

    def need(self, bench: str, store: str, contender: str, metric: str) -> float:
        """Its value. Raises `LookupError` with what to run."""
        value = self.number(bench, store, contender, metric)
        if value is None:
            raise LookupError(
                f"no figure `{metric}` of `{contender}` on {store} in bench `{bench}`: run "
                f'`make bench ARGS="--only {bench}"` first'
            )
        return value
