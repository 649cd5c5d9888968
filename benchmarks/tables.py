"""The figures as Markdown: goals first, then a table a bench."""

from __future__ import annotations

from .catalogue import BENCHES
from .figures import Figure, Figures
from .goals import verdicts

__all__ = ["bench_table", "goals_table", "report", "shown"]


def shown(value: float | str | None, unit: str = "") -> str:
    """A value with so many digits as mean something, its unit after it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit == "bytes" and abs(value) >= 10_000:
        text, unit = (
            (f"{value / 1e9:,.2f}", "GB")
            if value >= 1e9
            else (f"{value / 1e6:,.2f}", "MB")
            if value >= 1e6
            else (f"{value / 1e3:,.0f}", "KB")
        )
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    elif abs(value) >= 100 or value == int(value):
        text = f"{value:.0f}"
    elif abs(value) >= 10:
        text = f"{value:.1f}"
    elif abs(value) >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.2g}"
    name = {"us": "µs", "1/s": "/s", "ratio": "×"}.get(unit, unit)
    return text + (name if name in ("/s", "×", "") else f" {name}")


def goals_table(figures: Figures) -> list[str]:
    """Every goal, beside what was measured."""
    lines = ["| goal | store | bound | measured | |", "|---|---|---|---|---|"]
    for verdict in verdicts(figures):
        goal = verdict.goal
        said = {True: "reached", False: "**missed**", None: "not measured"}[verdict.reached]
        if not (verdict.reached or verdict.allowed):
            said += f": without durability it is {shown(verdict.most, verdict.unit)}"
        bound = f"{goal.way} {shown(goal.bound, verdict.unit)}"
        lines.append(
            f"| {goal.what} | {verdict.store} | {bound} | {shown(verdict.value, verdict.unit)} | {said} |"
        )
    return lines


def bench_table(figures: list[Figure]) -> list[str]:
    """One bench: a line a contender and store, a column a metric."""
    metrics = list(dict.fromkeys(f.metric for f in figures if f.metric != "not measured"))
    rows = list(dict.fromkeys((f.store, f.contender) for f in figures))
    by_key = {(f.store, f.contender, f.metric): f for f in figures}
    several = len({store for store, _ in rows}) > 1 or rows[0][0] != "-"
    head = ["store", "contender"] if several else ["contender"]
    lines = ["| " + " | ".join([*head, *metrics]) + " |", "|---" * (len(head) + len(metrics)) + "|"]
    for store, contender in rows:
        cells = [store, contender] if several else [contender]
        missing = by_key.get((store, contender, "not measured"))
        if missing is not None:
            cells += [f"not measured: {missing.unit}", *[""] * (len(metrics) - 1)]
        else:
            found = [by_key.get((store, contender, metric)) for metric in metrics]
            cells += ["" if figure is None else shown(figure.value, figure.unit) for figure in found]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def report(figures: Figures) -> str:
    """The whole page `results/bench.md`."""
    about = [f for f in figures.all if f.bench == "machine"]
    lines = ["# Measurements", "", "Made by `make bench`; the same figures as in `bench.json`.", ""]
    lines += [f"- {f.contender}: {f.metric} {shown(f.value, f.unit)}" for f in about]
    lines += ["", "## Goals", "", *goals_table(figures)]
    for name, bench in BENCHES.items():
        own = [f for f in figures.all if f.bench == name]
        if not own:
            continue
        conditions = {f.metric: f for f in own if f.contender == "conditions"}
        own = [f for f in own if f.contender != "conditions"]
        rounds = max(f.rounds for f in own)
        when, seconds = conditions.get("measured on"), conditions.get("seconds a measurement")
        taken = f"`{name}`: medians of {rounds} interleaved rounds" if rounds > 1 else f"`{name}`: one round"
        if seconds is not None and name.startswith(("steps", "frameworks", "fleet", "turn")):
            taken += f" of {shown(seconds.value, 's')}"
        if when is not None:
            taken += f", {when.value}"
        lines += ["", f"## {bench.title}", "", f"{taken}. {bench.note}".strip(), "", *bench_table(own)]
    return "\n".join(lines) + "\n"
