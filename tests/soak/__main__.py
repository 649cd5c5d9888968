"""`make soak MINUTES=30`: half of the time on SQLite, half on PostgreSQL, each with an audit at its end."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.places import Place, PostgresPlace, SqlitePlace, serving, small_disk
from tests.soak.chaos import ALL, Report, Soak, soak

MEGABYTES = 2000
"""Of the disk that gets full: it lies in memory, and holds what half an hour writes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000)
    parser.add_argument("--store", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--actions", default=",".join(ALL), help="what the monkey may do")
    parser.add_argument("--report", type=Path, default=Path("build/soak.json"))
    parser.add_argument("--keep", type=Path, help="a folder for the workers' logs and the ledgers")
    given = parser.parse_args()
    stores = ["sqlite", "postgres"] if given.store == "both" else [given.store]
    print(f"a soak of {given.minutes:g} minutes on {' and '.join(stores)}, seed {given.seed}", flush=True)
    reports: list[dict[str, Any]] = []
    problems = 0
    for store in stores:
        report = once(store, given, given.minutes * 60 / len(stores))
        reports.append(report.as_json())
        problems += len(report.problems)
        show(report)
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text(json.dumps(reports, indent=2) + "\n")
    print(f"written to {given.report}")
    return 1 if problems else 0


def once(store: str, given: argparse.Namespace, seconds: float) -> Report:
    """One soak on one store."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perdure-soak-")))
        if given.keep is not None:
            folder = given.keep / store
            folder.mkdir(parents=True)
        disk = None
        if "full" in given.actions:
            try:
                disk = stack.enter_context(small_disk(MEGABYTES))
            except OSError as error:
                print(f"{store}: no disk gets full: {error}")
        place: Place = SqlitePlace()
        if store == "postgres":
            server = stack.enter_context(serving())
            place = PostgresPlace(server, server.new_template())
        plan = Soak(
            place,
            folder,
            seed=given.seed,
            seconds=seconds,
            actions=tuple(given.actions.split(",")),
            disk=disk,
            tell=lambda line: print(line, flush=True),
        )
        return asyncio.run(soak(plan))


def show(report: Report) -> None:
    told = report.as_json()
    print(f"\n{report.store}: {told['seconds']:g} s, seed {report.seed}")
    for title in ("acts", "counts"):
        for name, count in told[title].items():
            print(f"  {count:>9,}  {name}")
    for problem in report.problems:
        print(f"  WRONG: {problem}")
    print(f"  {len(report.problems) or 'no'} problem{'' if len(report.problems) == 1 else 's'}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
