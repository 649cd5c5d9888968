"""`python -m benchmarks`: measure, print the tables, keep the figures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from . import pages, simulation
from .catalogue import BENCHES, QUICK, Bench, Scale
from .figures import RESULTS, Figures
from .goals import verdicts
from .measure import MeasurementFailed
from .runner import CONTENDERS_PYTHON, Runner, plans_page, read_plans
from .tables import report

SCALE = "scale"


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, write. 1 where Perdure itself could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[*BENCHES, SCALE],
        metavar="NAME",
        help=f"one bench, and keep the figures of the others; may be given again: {', '.join([*BENCHES, SCALE])}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small and short, to see that it works; nothing is kept"
    )
    parser.add_argument("--seconds", type=float, help="of one measurement (10)")
    parser.add_argument("--rounds", type=int, help="of those that take turns (3)")
    parser.add_argument(
        "--store", choices=["sqlite", "postgres"], help="only on this store; ratios to it alone"
    )
    parser.add_argument("--results", type=Path, help="the folder to keep figures in (benchmarks/results)")
    parser.add_argument("--contenders", type=Path, default=CONTENDERS_PYTHON, help="the Python that has them")
    options = parser.parse_args(arguments)

    names = options.only or [*BENCHES, SCALE]
    scale = QUICK if options.quick else Scale()
    for name in ("seconds", "rounds"):
        if getattr(options, name) is not None:
            scale = replace(scale, **{name: getattr(options, name)})
    folder: Path | None = options.results or (None if options.quick else RESULTS)
    figures = _kept(folder)

    benches = [_on(BENCHES[name], options.store) for name in names if name in BENCHES]
    failed = False
    with Runner(scale, benches, python=options.contenders) as runner:
        for bench in benches:
            try:
                found = [*runner.run(bench), *runner.about()]
            except MeasurementFailed as error:
                print(f"{bench.name} failed: {error}", file=sys.stderr)
                failed = True
                continue
            if (
                folder
            ):  # after each, so that what was measured survives what comes; read anew, as others may measure
                figures = _kept(folder)
            figures.merge(found)
            if folder:
                _keep(folder, figures, runner)
    if benches:
        print(report(figures))
    if SCALE in names:
        print(_scale(figures if folder else Figures.load(RESULTS / "bench.json")))
    if folder == RESULTS:
        for page in pages.write(figures):
            print(f"wrote {page}", file=sys.stderr)
    missed = [v for v in verdicts(figures) if v.reached is False and v.goal.bench in names]
    for verdict in missed:
        print(f"missed: {verdict.goal.what} on {verdict.store}", file=sys.stderr)
    return 1 if failed else 0


def _on(bench: Bench, store: str | None) -> Bench:
    """The bench on one store; what needs none is measured too."""
    if store is None:
        return bench
    return replace(bench, cases=lambda scale: [c for c in bench.cases(scale) if c.store in ("-", store)])


def _kept(folder: Path | None) -> Figures:
    return Figures.load(folder / "bench.json") if folder else Figures()


def _keep(folder: Path, figures: Figures, runner: Runner) -> None:
    figures.save(folder / "bench.json")
    (folder / "bench.md").write_text(report(figures))
    if runner.plans:
        file = folder / "plans.md"
        known = read_plans(file.read_text()) if file.exists() else {}
        file.write_text(plans_page(known | runner.plans))


def _scale(figures: Figures) -> str:
    try:
        return simulation.report(figures)
    except LookupError as error:
        return f"no simulation of scale: {error}"


if __name__ == "__main__":
    sys.exit(main())
