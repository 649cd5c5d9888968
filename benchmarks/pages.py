"""The parts of the documentation that are made of figures: between `<!-- bench: NAME -->` and `<!-- /bench -->`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from . import simulation
from .catalogue import BARE, DBOS, DELTA, INDEXED, LANGGRAPH, PIPELINED, STEP, STORES, THREADS, WRITES
from .figures import RESULTS, Figures
from .frameworks_cases import ADDED, CEILING, LANGGRAPH_AGENT, OF_FOUNDATION, PYDANTIC_AI, TIMES
from .measure import ROOT
from .tables import bench_table, shown

__all__ = ["BLOCKS", "PAGES", "render", "write"]

PAGES = (ROOT / "docs" / "scale.md", ROOT / "docs" / "comparison.md")

_BLOCK = re.compile(r"(<!-- bench: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- /bench -->)", re.DOTALL)
NOT_YET = ["*Not measured yet.*"]


def _conditions(figures: Figures) -> list[str]:
    def of(contender: str, metric: str) -> str:
        found = figures.find("machine", "-", contender, metric)
        return shown(found.value, found.unit) if found else "?"

    seconds = figures.find("steps-64", "-", "conditions", "seconds a measurement")
    when = figures.find("steps-64", "-", "conditions", "measured on")
    rounds = figures.find("steps-64", "sqlite", STEP, "steps per second")
    if not (seconds and when and rounds):
        return NOT_YET
    return [
        f"Measured on {when.value}: {of('machine', 'processor')}, fdatasync p50 {of('disk', 'fdatasync p50')}, Python "
        f"{of('project', 'python')}, SQLite {of('project', 'sqlite')} in WAL mode at `synchronous=FULL`, PostgreSQL "
        f"{of('project', 'postgresql')} on the same machine with `synchronous_commit=on`; DBOS "
        f'{of("contenders", "dbos")}, LangGraph {of("contenders", "langgraph")} with `durability="sync"`. Medians of '
        f"{rounds.rounds} interleaved rounds of {shown(seconds.value, 's')}."
    ]


def _steps(figures: Figures) -> list[str]:
    lines = [
        "| | store | steps/s at 64 runs | at 512 runs | of the raw limit, indexed | of bare rows | CPU µs a step |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {
        BARE: "raw limit, bare rows",
        INDEXED: "raw limit, rows indexed by run",
        STEP: "**Perdure**, every step on disk",
        PIPELINED: "Perdure, commits under way",
        WRITES: "Perdure, tools are writes with intents",
        DBOS: "DBOS",
        THREADS: "DBOS, in threads",
        LANGGRAPH: "LangGraph",
    }
    any_found = False
    for store in STORES:
        for contender, name in names.items():

            def of(bench: str, metric: str, s: str = store, c: str = contender) -> str:
                found = figures.find(bench, s, c, metric)
                return shown(found.value, found.unit).removesuffix("/s").removesuffix(" µs") if found else "-"

            cells = [of("steps-64", "steps per second"), of("steps-512", "steps per second")]
            any_found = any_found or cells[0] != "-"
            cells += [
                of("steps-512", metric) for metric in ("of indexed rows", "of bare rows", "CPU per step")
            ]
            lines.append(
                f"| {name} | {'SQLite' if store == 'sqlite' else 'PostgreSQL'} | {' | '.join(cells)} |"
            )
    return lines if any_found else NOT_YET


def _sizes(figures: Figures) -> list[str]:
    lines = [
        "| | store | 20 turns | 200 turns | grows by | of the raw rows, indexed |",
        "|---|---|---|---|---|---|",
    ]
    metrics = ("bytes at 20 turns", "bytes at 200 turns", "growth", "of indexed rows")
    for store in STORES:
        for contender in (INDEXED, STEP, DBOS, LANGGRAPH, DELTA):
            found = [figures.find("sizes", store, contender, metric) for metric in metrics]
            if found[0] is not None:
                cells = " | ".join(shown(f.value, f.unit) if f else "-" for f in found)
                lines.append(f"| {contender} | {store} | {cells} |")
    return lines if len(lines) > 2 else NOT_YET


def _frameworks(figures: Figures) -> list[str]:
    """A line for each way to run a framework's agent, and what it adds to the framework's own cost."""
    metrics = ("steps per second", "CPU per step", ADDED, OF_FOUNDATION, TIMES, CEILING)
    lines = [
        "| | store | steps/s at 64 runs | CPU µs a step | added | of a plain step | against the others | the limit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for of in (PYDANTIC_AI, LANGGRAPH_AGENT):
        for store in ("-", *STORES):
            for name in (of.bare, of.step, of.pipelined, *of.others):
                found = [figures.find("frameworks", store, name, metric) for metric in metrics]
                if found[0] is not None:
                    cells = [
                        shown(f.value, f.unit).removesuffix("/s").removesuffix(" µs") if f else ""
                        for f in found
                    ]
                    bold = f"**{name}**" if name == of.step else name
                    lines.append(f"| {bold} | {store} | {' | '.join(cells)} |")
    return lines if len(lines) > 2 else NOT_YET


def _of(bench: str, store: str | None = None) -> Callable[[Figures], list[str]]:
    def block(figures: Figures) -> list[str]:
        own = [
            f
            for f in figures.all
            if f.bench == bench and f.contender != "conditions" and store in (None, f.store)
        ]
        return bench_table(own) if own else NOT_YET

    return block


def _carries(figures: Figures) -> list[str]:
    """What one PostgreSQL carries: a line a question."""
    rows = [
        ("durable steps a second, one worker process, 64 runs at once", "steps-64", STEP, "steps per second"),
        ("the same, 512 runs at once", "steps-512", STEP, "steps per second"),
        ("two worker processes", "fleet", "two worker processes", "steps per second"),
        ("two worker processes against one", "fleet", "two worker processes", "times one"),
        ("the server's CPU a step", "steps-512", STEP, "server CPU per step"),
        ("the worker's CPU a step", "steps-512", STEP, "CPU per step"),
        ("write-ahead log a step", "steps-512", STEP, "log per step"),
        ("a run of 200 turns, 400 steps of 1.5 KB", "sizes", STEP, "bytes at 200 turns"),
        ("a waiting run", "waiting", "perdure", "bytes of one in the store"),
        ("a worker ready, with 100,000 waiting runs", "waiting", "perdure", "restart to ready"),
        ("a signal until its run goes on, p50", "waiting", "perdure", "from another process, p50"),
        ("the same, p99", "waiting", "perdure", "from another process, p99"),
        ("wake-ups a second, of many at once", "waiting", "perdure", "wake-ups, of many at once"),
        ("claims a second by one worker, 1.1 million runs there", "claims", "perdure", "claims"),
        ("200 runs of a killed worker going on, beyond the lease", "recovery", "perdure", "beyond the lease"),
        ("replay of 1,000 steps", "replay", "perdure", "replay of 1,000 steps"),
        ("replay of 10,000 steps", "replay", "perdure", "replay of 10,000 steps"),
    ]
    lines = ["| | PostgreSQL | SQLite |", "|---|---|---|"]
    for name, bench, contender, metric in rows:
        cells = [figures.find(bench, store, contender, metric) for store in ("postgres", "sqlite")]
        if any(cells):
            lines.append(
                f"| {name} | " + " | ".join(shown(f.value, f.unit) if f else "-" for f in cells) + " |"
            )
    return lines if len(lines) > 2 else NOT_YET


def _scale(figures: Figures) -> list[str]:
    try:
        return simulation.report(figures).strip().splitlines()
    except LookupError:
        return NOT_YET


BLOCKS: dict[str, Callable[[Figures], list[str]]] = {
    "conditions": _conditions,
    "steps": _steps,
    "frameworks": _frameworks,
    "sizes": _sizes,
    "carries": _carries,
    "recovery": _of("recovery"),
    "scale": _scale,
}


def render(text: str, figures: Figures) -> str:
    """A page with its blocks made anew. Raises `KeyError` for a block that nobody makes."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}\n" + "\n".join(BLOCKS[match["name"]](figures)) + f"\n\n{match[4]}"

    return _BLOCK.sub(block, text)


def write(figures: Figures | None = None) -> list[Path]:
    """Bring all pages in line with the figures; those that changed."""
    figures = figures or Figures.load(RESULTS / "bench.json")
    changed: list[Path] = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        if (new := render(old, figures)) != old:
            page.write_text(new, encoding="utf-8")
            changed.append(page)
    return changed
