"""What Prometheus is told: made of tallies at each scrape, so counters go on over restarts, the same on every server.

    tallies of all time ──► counters and histograms        store: sessions, demands, log ──► gauges

No run, user or label is named. Counters never go down: what is folded again, or pruned, counts once. While the
projections are made again the counters are left out, for a counter that begins anew looks like a burst.

Names and what they mean: `docs/metrics.md`. Needs the extra `serve`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..context import Standing, Standings
from ..journal import (
    BOUNDS,
    Demand,
    LogLag,
    Projected,
    SessionRecord,
    Store,
    TallyColumn,
    TallyQuery,
    unserved,
)
from .tallies import Tally, tallied

__all__ = ["Reading", "exposed", "read_metrics"]

NANOS = 1e9
MICROS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a scrape reads of a store. Times are microseconds."""

    now: int
    place: Projected
    log_lag: LogLag
    tallies: Sequence[tuple[tuple[str, str, str, str, str], Tally]]
    """by agent, version, what, name and outcome"""
    sessions: Sequence[SessionRecord]
    demands: Sequence[Demand]
    servers: Sequence[Standing] = ()
    """MCP servers that were used"""


async def read_metrics(store: Store, *, tenant: str | None) -> Reading:
    """Read what a scrape tells: of the runs of a tenant (None: of all), and of the fleet."""
    where: dict[TallyColumn, Sequence[str]] = {} if tenant is None else {"tenant": [tenant]}
    by: tuple[TallyColumn, ...] = ("agent", "version", "what", "name", "outcome")
    found = await tallied(store, TallyQuery(by=by, where=where))
    return Reading(
        place=await store.projected(),
        log_lag=await store.log_lag(),
        tallies=[((str(a), str(v), str(w), str(n), str(o)), tally) for (a, v, w, n, o), tally in found],
        sessions=await store.sessions(),
        servers=[one for _, one in sorted((await Standings(store).ls(tenant)).items())],
        demands=await store.demands(counted=True),
        now=store.now(),
    )


def exposed(reading: Reading, *, accept: str = "") -> tuple[bytes, str]:
    """The text of a scrape, in the form that is asked for, and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(reading))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Collector(Collector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry would collect for it."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from _fleet(self._reading)
        if self._reading.place.until is None:
            yield from _counted(self._reading)


class _Counters:
    """Counters that are added up by their labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._family = CounterMetricFamily(name, help, labels=labels)
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], n: float) -> None:
        self._sums[labels] = self._sums.get(labels, 0) + n

    def made(self) -> Metric:
        for labels, n in sorted(self._sums.items()):
            self._family.add_metric(labels, n)
        return self._family


class _Times:
    """Histograms of times, added up by their labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._family = HistogramMetricFamily(name, help, labels=labels)
        self._sums: dict[tuple[str, ...], tuple[list[int], int]] = {}

    def add(self, labels: tuple[str, ...], tally: Tally) -> None:
        buckets, micros = self._sums.get(labels, ([0] * (len(BOUNDS) + 1), 0))
        merged = [a + b for a, b in zip(buckets, tally.buckets, strict=True)]
        self._sums[labels] = merged, micros + tally.micros

    def made(self) -> Metric:
        for labels, (buckets, micros) in sorted(self._sums.items()):
            told: list[tuple[str, float]] = []
            n = 0
            for bound, count in zip((*BOUNDS, None), buckets, strict=True):
                n += count
                told.append(("+Inf" if bound is None else repr(bound / MICROS), n))
            if n:
                self._family.add_metric(labels, told, micros / MICROS)
        return self._family


def _counted(reading: Reading) -> Iterator[Metric]:
    """What tallies say."""
    started = _Counters("perdure_runs_started", "Runs that were accepted.", ("agent", "version"))
    ended = _Counters("perdure_runs_ended", "Endings of runs, by status.", ("agent", "version", "status"))
    active = _Times("perdure_run_active_seconds", "Time in which a worker held a run.", ("agent", "status"))
    wall = _Times("perdure_run_wall_seconds", "Time from a run's start to its end.", ("agent", "status"))
    calls = _Counters("perdure_model_calls", "Attempts to ask a model.", ("agent", "model"))
    errors = _Counters("perdure_model_errors", "Attempts that failed.", ("agent", "model"))
    tokens = _Counters("perdure_model_tokens", "Tokens of models.", ("agent", "model", "direction"))
    latency = _Times("perdure_model_call_seconds", "Time until a model answered.", ("agent", "model"))
    unpriced = _Counters("perdure_unpriced_charges", "Charges without a price.", ("agent", "name"))
    cost = _Counters("perdure_cost_dollars", "What was charged.", ("agent", "version", "what", "name"))
    steps = _Counters("perdure_step_calls", "Attempts at steps and tools.", ("agent", "step"))
    broken = _Counters("perdure_step_errors", "Attempts that failed.", ("agent", "step"))
    took = _Times("perdure_step_seconds", "Time that steps and tools took.", ("agent", "step"))
    failures = _Counters("perdure_failures", "Failed attempts, by class.", ("agent", "class"))
    verdicts = _Counters("perdure_verdicts", "What the boundary said.", ("agent", "stage", "verdict"))
    waits = _Times("perdure_wait_seconds", "Time that runs waited.", ("agent", "reason"))
    effects = _Counters("perdure_effects", "Writes: begun, in doubt, found out.", ("agent", "what"))
    escalated = _Counters("perdure_escalations", "Escalations, by the step that failed.", ("agent", "step"))
    deaths = _Counters("perdure_worker_deaths", "Runs that went on after a worker's death.", ("agent",))
    standing = _Gauges("perdure_runs", "Runs that have not ended.", ("agent", "state", "reason"))
    goals = _Gauges("perdure_run_goals", "Ended runs by outcome.", ("agent", "version", "outcome"))
    for (agent, version, what, name, outcome), tally in reading.tallies:
        match what:
            case "run" if name == "started":
                started.add((agent, version), tally.n)
            case "run":
                ended.add((agent, version, name), tally.n)
                active.add((agent, name), tally)
                goals.add((agent, version, outcome or "unknown"), tally.n)
            case "wall":
                wall.add((agent, name), tally)
            case "model":
                calls.add((agent, name), tally.calls)
                errors.add((agent, name), tally.errors)
                tokens.add((agent, name, "input"), tally.input_tokens)
                tokens.add((agent, name, "output"), tally.output_tokens)
                latency.add((agent, name), tally)
            case "step":
                steps.add((agent, name), tally.calls)
                broken.add((agent, name), tally.errors)
                took.add((agent, name), tally)
            case "failure":
                failures.add((agent, name or "unknown"), tally.n)
            case "guard":
                stage, _, verdict = name.partition(".")
                verdicts.add((agent, stage, verdict), tally.n)
            case "wait":
                waits.add((agent, name), tally)
            case "effect":
                effects.add((agent, name), tally.n)
            case "escalation":
                escalated.add((agent, name), tally.n)
            case "claim" if name == "after a death":
                deaths.add((agent,), tally.n)
            case "standing":
                state, _, reason = name.partition(":")
                standing.add((agent, state, reason), tally.n)
            case _:
                pass
        if tally.unpriced:
            unpriced.add((agent, name), tally.unpriced)
        if tally.money:
            cost.add((agent, version, what, name), tally.money / NANOS)
    families = (
        *(started, ended, active, wall, calls, errors, tokens, latency, unpriced, cost, steps, broken, took),
        *(failures, verdicts, waits, effects, escalated, deaths, standing, goals),
    )
    for family in families:
        yield family.made()


class _Gauges:
    """Gauges that are added up by their labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._family = GaugeMetricFamily(name, help, labels=labels)
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], n: float) -> None:
        self._sums[labels] = self._sums.get(labels, 0) + n

    def made(self) -> Metric:
        for labels, n in sorted(self._sums.items()):
            self._family.add_metric(labels, n)
        return self._family


def _fleet(reading: Reading) -> Iterator[Metric]:
    """What is so now."""
    now = reading.now
    lag = reading.log_lag
    plain: Mapping[tuple[str, str], float] = {
        ("perdure_workers", "Workers that are alive."): len(reading.sessions),
        ("perdure_worker_runs", "Runs that workers hold."): sum(s.runs for s in reading.sessions),
        ("perdure_worker_capacity", "Runs that workers may hold."): sum(
            s.concurrency for s in reading.sessions
        ),
        ("perdure_projection_lag_heads", "Heads of runs that were not folded yet."): reading.place.behind,
        ("perdure_projection_rebuilding", "1 while the projections are made again."): float(
            reading.place.until is not None
        ),
        ("perdure_audit_lag_runs", "Runs whose heads the audit log does not hold yet."): lag.runs,
        ("perdure_audit_lag_seconds", "How long the first of them has waited for that."): 0.0
        if lag.since is None
        else max(0, now - lag.since) / MICROS,
    }
    for (name, help), n in plain.items():
        yield GaugeMetricFamily(name, help, value=n)
    queue = _Gauges("perdure_queue_runs", "Runs that are due and wait for a worker.", ("agent", "version"))
    oldest = GaugeMetricFamily(
        "perdure_queue_oldest_seconds", "How long the longest due has waited.", labels=("agent", "version")
    )
    since: dict[tuple[str, str], int] = {}
    for demand in reading.demands:
        key = (demand.agent, demand.version)
        queue.add(key, demand.runs or 0)
        if demand.since is not None:
            since[key] = min(since.get(key, demand.since), demand.since)
    for key, at in sorted(since.items()):
        oldest.add_metric(key, max(0, now - at) / MICROS)
    stranded = _Gauges(
        "perdure_stranded_runs", "Due runs that no live worker can run.", ("agent", "version", "reason")
    )
    for demand, reason in unserved(reading.demands, reading.sessions):
        stranded.add((demand.agent, demand.version, reason.value), demand.runs or 0)
    lost = GaugeMetricFamily("perdure_mcp_server_lost", "1 while an MCP server is lost.", labels=("server",))
    for server in reading.servers:
        lost.add_metric((server.server,), float(server.state == "lost"))
    if reading.servers:
        yield lost
    yield queue.made()
    yield oldest
    yield stranded.made()
