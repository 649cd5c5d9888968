"""What a fleet of PostgreSQL partitions would need, computed from the costs that were measured here.

Costs come from `results/bench.json`; what nobody measured is in `Assumptions`, and is printed with the result. The
loss of a partition and its recovery are simulated second by second, placement by hashing real keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .catalogue import STEP
from .figures import Figures
from .placement import SLOTS, Placement, slot
from .tables import shown

__all__ = [
    "Assumptions",
    "Costs",
    "Fleet",
    "Outage",
    "assumptions_table",
    "costs_table",
    "fleet",
    "outage",
    "report",
]


@dataclass(frozen=True)
class Costs:
    """What was measured, on PostgreSQL."""

    worker_cpu: float
    """seconds of a worker's CPU a step"""
    server_cpu: float
    """seconds of the server's CPU a step"""
    log_bytes: float
    """of the write-ahead log a step"""
    stored_bytes: float
    """in tables and indexes a step"""
    waiting_bytes: float
    """in tables and indexes of one waiting run"""
    wake_worker_cpu: float
    """seconds of a worker's CPU, from a signal to the end of a short run"""
    wake_server_cpu: float
    replay_cpu: float
    """seconds that a worker needs for one recorded step when a run goes on"""
    claims: float
    """a second, by one worker, in a full store"""
    steps: float
    """a second of one worker process"""

    @classmethod
    def measured(cls, figures: Figures) -> Costs:
        """The costs in a set of figures. Raises `LookupError` with what to run where one is missing."""

        def of(bench: str, contender: str, metric: str) -> float:
            return figures.need(bench, "postgres", contender, metric)

        return cls(
            worker_cpu=of("steps-512", STEP, "CPU per step") / 1e6,
            server_cpu=of("steps-512", STEP, "server CPU per step") / 1e6,
            log_bytes=of("steps-512", STEP, "log per step"),
            stored_bytes=of("sizes", STEP, "bytes at 200 turns") / 400,
            waiting_bytes=of("waiting", "perdure", "bytes of one in the store"),
            wake_worker_cpu=of("waiting", "perdure", "CPU of a wake-up") / 1e6,
            wake_server_cpu=of("waiting", "perdure", "server CPU of a wake-up") / 1e6,
            replay_cpu=of("replay", "perdure", "replay of 1,000 steps") / 1e3 / 1_000,
            claims=of("claims", "perdure", "claims"),
            steps=of("steps-512", STEP, "steps per second"),
        )


@dataclass(frozen=True)
class Assumptions:
    """What was not measured. Each is a guess that can be argued with; change it and run again."""

    waiting_runs: float = 1e9
    steps_a_second: float = 1e6
    steps_a_run: float = 40
    wait_days: float = 1.0
    """how long a waiting run waits, on average, before something wakes it"""
    kept_days: float = 7.0
    """how long the journals of ended runs are kept before they are pruned"""
    cores: int = 32
    """of a partition's server"""
    busy: float = 0.5
    """the share of them that may be used: the rest is for vacuum, checkpoints, replicas and bad days"""
    log_megabytes: float = 300
    """of the log a second, that a partition's disk and its replicas keep up with"""
    disk_terabytes: float = 10
    """a partition may hold"""
    worker_cores: int = 16
    """of a worker's machine"""
    worker_busy: float = 0.6
    model_seconds: float = 2.0
    """how long a step takes its run: so many runs are in flight"""
    failover_seconds: float = 30
    """until a replica has taken over"""
    lease_seconds: float = 10
    copy_megabytes: float = 200
    """a second, from one partition to another, beside the work"""


@dataclass(frozen=True)
class Fleet:
    """What it takes."""

    by_cpu: float
    by_log: float
    by_disk: float
    partitions: int
    worker_cores: float
    worker_machines: int
    wakes_a_second: float
    stored_bytes: float
    waiting_bytes: float
    fullest: float
    """the fullest partition against the mean, by slots"""
    fullest_by_runs: float
    """the same by runs: some keys hashed"""
    moved_by_one: float
    """share of slots that go to one partition more"""


def fleet(costs: Costs, a: Assumptions, *, slots: int = SLOTS, keys: int = 100_000) -> Fleet:
    """How many partitions and workers, and how evenly runs are spread over them."""
    wakes = a.waiting_runs / (a.wait_days * 86_400)
    server = a.steps_a_second * costs.server_cpu + wakes * costs.wake_server_cpu
    wake = costs.wake_worker_cpu + a.steps_a_run / 2 * costs.replay_cpu
    worker = a.steps_a_second * costs.worker_cpu + wakes * wake
    kept = a.steps_a_second * costs.stored_bytes * a.kept_days * 86_400
    waiting = a.waiting_runs * costs.waiting_bytes
    by_cpu = server / (a.cores * a.busy)
    by_log = a.steps_a_second * costs.log_bytes / (a.log_megabytes * 1e6)
    by_disk = (kept + waiting) / (a.disk_terabytes * 1e12)
    partitions = max(1, math.ceil(max(by_cpu, by_log, by_disk)))
    placement = Placement((f"p{n:04}" for n in range(partitions)), slots=slots)
    by_slots = placement.fullest()
    by_runs = placement.fullest(slot(f"tenant-{n % 997}", f"run-{n}") % slots for n in range(keys))
    by_one = placement.add("next")
    return Fleet(
        by_cpu=by_cpu,
        by_log=by_log,
        by_disk=by_disk,
        partitions=partitions,
        worker_cores=worker,
        worker_machines=math.ceil(worker / (a.worker_cores * a.worker_busy)),
        wakes_a_second=wakes,
        stored_bytes=kept,
        waiting_bytes=waiting,
        fullest=by_slots,
        fullest_by_runs=by_runs,
        moved_by_one=by_one,
    )


@dataclass(frozen=True)
class Outage:
    """A partition is lost and comes back."""

    runs_in_flight: float
    """of that partition, when it was lost"""
    backlog: float
    """runs that were due, or in flight, when it came back"""
    going_again_seconds: float
    """from the loss until all that was in flight has been claimed again"""
    normal_seconds: float
    """until nothing waits for a worker any more"""


def outage(costs: Costs, a: Assumptions, of: Fleet) -> Outage:
    """Second by second: what piles up while the partition is away, and how it is worked off.

    Runs in flight come first, for they are due the longest. The servers of a partition are the bottleneck: work on the
    backlog may use what they have above the usual load, up to all of their cores, and so many claims a second as were
    measured for one worker, times the workers that a partition has.
    """
    steps = a.steps_a_second / of.partitions
    wakes = of.wakes_a_second / of.partitions
    workers = max(1.0, steps / costs.steps)
    in_flight = steps * a.model_seconds
    backlog, retaken = in_flight, 0.0
    going: float | None = None
    down = a.failover_seconds + a.lease_seconds
    spare = a.cores * 0.9 - (steps * costs.server_cpu + wakes * costs.wake_server_cpu)
    takes = min(costs.claims * workers, max(0.0, spare) / costs.wake_server_cpu)
    backlog += wakes * down
    second = down
    while backlog > 0 and second < 86_400:
        second += 1
        worked = min(backlog, takes)
        retaken += worked
        backlog -= worked
        if going is None and retaken >= in_flight:
            going = second
    return Outage(
        runs_in_flight=in_flight,
        backlog=in_flight + wakes * down,
        going_again_seconds=going if going is not None else math.inf,
        normal_seconds=second if backlog <= 0 else math.inf,
    )


# tables --------------------------------------------------------------------------------------------------------


def costs_table(costs: Costs) -> list[str]:
    """What the simulation was given."""
    rows = [
        ("a worker's CPU, a step", costs.worker_cpu * 1e6, "us"),
        ("the server's CPU, a step", costs.server_cpu * 1e6, "us"),
        ("write-ahead log, a step", costs.log_bytes, "bytes"),
        ("in tables and indexes, a step", costs.stored_bytes, "bytes"),
        ("in tables and indexes, a waiting run", costs.waiting_bytes, "bytes"),
        ("a worker's CPU, a signal and what follows", costs.wake_worker_cpu * 1e6, "us"),
        ("the server's CPU, a signal and what follows", costs.wake_server_cpu * 1e6, "us"),
        ("a worker's time, a step replayed", costs.replay_cpu * 1e6, "us"),
        ("claims by one worker in a full store", costs.claims, "1/s"),
        ("steps of one worker process", costs.steps, "1/s"),
    ]
    return ["| measured cost | |", "|---|---|", *(f"| {name} | {shown(v, unit)} |" for name, v, unit in rows)]


_ASSUMED = {
    "waiting_runs": "runs that wait",
    "steps_a_second": "steps a second",
    "steps_a_run": "steps of a run, half of them recorded when it is woken",
    "wait_days": "days that a waiting run waits, on average",
    "kept_days": "days that journals of ended runs are kept",
    "cores": "cores of a partition's server",
    "busy": "share of them that may be busy",
    "log_megabytes": "MB of log a second that its disk and replicas keep up with",
    "disk_terabytes": "TB that a partition may hold",
    "worker_cores": "cores of a worker's machine",
    "worker_busy": "share of them that may be busy, too",
    "model_seconds": "seconds that a step takes its run",
    "failover_seconds": "seconds until a replica has taken over",
    "lease_seconds": "seconds of a lease",
    "copy_megabytes": "MB a second that a move between partitions may use",
}


def assumptions_table(a: Assumptions) -> list[str]:
    """What was not measured."""
    rows = [f"| {_ASSUMED[f.name]} | {getattr(a, f.name):,g} |" for f in fields(a)]
    return ["| assumed | |", "|---|---|", *rows]


def fleet_table(costs: Costs, a: Assumptions) -> list[str]:
    """What it takes, how it is spread, and what an outage and a move cost."""
    it = fleet(costs, a)
    lost = outage(costs, a, it)
    each = (it.stored_bytes + it.waiting_bytes) / it.partitions
    one_more = each * it.partitions / (it.partitions + 1)
    seconds = one_more / (a.copy_megabytes * 1e6)
    rows = [
        ("partitions that the servers' CPU asks for", f"{it.by_cpu:,.1f}"),
        ("partitions that the log asks for", f"{it.by_log:,.1f}"),
        ("partitions that the disks ask for", f"{it.by_disk:,.1f}"),
        ("partitions, if all were equally full", f"{it.partitions:,}, each with its replicas"),
        ("workers' cores in use", f"{it.worker_cores:,.0f}"),
        ("**workers' machines**", f"**{it.worker_machines:,}**"),
        ("runs woken a second", f"{it.wakes_a_second:,.0f}"),
        ("journals of the days kept", f"{it.stored_bytes / 1e12:,.0f} TB"),
        ("waiting runs", f"{it.waiting_bytes / 1e12:,.2f} TB"),
        ("steps a second of one partition", f"{a.steps_a_second / it.partitions:,.0f}"),
        ("the fullest partition against the mean, slots", f"{it.fullest:.2f} ×"),
        ("the same by 100,000 hashed runs", f"{it.fullest_by_runs:.2f} ×"),
        (
            "**partitions**, so that the fullest has room",
            f"**{math.ceil(it.partitions * it.fullest_by_runs):,}**",
        ),
        ("slots that move for one partition more", f"{it.moved_by_one:.2%}"),
        (
            "one partition more: to be copied, and how long",
            f"{one_more / 1e12:.1f} TB, {seconds / 3600:,.0f} h",
        ),
        ("a partition lost: runs in flight on it", f"{lost.runs_in_flight:,.0f}"),
        ("a partition lost: runs to be taken up when it is back", f"{lost.backlog:,.0f}"),
        ("from the loss until those in flight go on", f"{lost.going_again_seconds:,.0f} s"),
        ("from the loss until nothing waits for a worker", f"{lost.normal_seconds:,.0f} s"),
        ("share of all runs that the loss concerns", f"{1 / it.partitions:.2%}"),
    ]
    return ["| it takes | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def report(figures: Figures, a: Assumptions | None = None) -> str:
    """All three tables. Raises `LookupError` where a figure is missing."""
    a = a or Assumptions()
    costs = Costs.measured(figures)
    parts = [costs_table(costs), assumptions_table(a), fleet_table(costs, a)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"
