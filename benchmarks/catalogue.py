"""What is measured: every bench with its measurements, how often, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from .boundary import STAGES
from .cases import QUICK, STORES, Bench, Case, Round, Scale
from .frameworks_cases import FRAMEWORKS
from .memory_cases import MEMORY

__all__ = ["BENCHES", "QUICK", "STORES", "Bench", "Case", "Round", "Scale"]

BARE = "raw: bare rows"
INDEXED = "raw: rows indexed by run"
STEP = "perdure: every step on disk"
PIPELINED = "perdure: commits under way"
WRITES = "perdure: writes with intents"
DBOS = "dbos"
THREADS = "dbos, in threads"
LANGGRAPH = "langgraph"
TOKENS = "perdure: tokens"
POLICIES = "perdure: policies"
BACKTEST = "perdure: policy backtest"
CEDAR = "Cedar's own call"
APPENDED = "perdure: appends under the log"
VERIFIED = "perdure: audit verify"
HASHED = ("hash", "words and hash")
"""Vectors of no model, for comparison."""
DELTA = "langgraph, DeltaChannel (beta)"


# durable steps -------------------------------------------------------------------------------------------------


def _steps(runs: int) -> Callable[[Scale], list[Case]]:
    def cases(scale: Scale) -> list[Case]:
        made: list[Case] = []
        for store in STORES:
            common = {"runs": runs, "seconds": scale.seconds}
            takes = scale.seconds + 4
            made += [
                Case(store, BARE, "raw_limit:raw", common | {"indexed": False}, takes),
                Case(store, INDEXED, "raw_limit:raw", common | {"indexed": True}, takes),
                Case(store, STEP, "steps:perdure", common | {"mode": "step"}, takes),
                Case(store, PIPELINED, "steps:perdure", common | {"mode": "pipelined"}, takes),
                Case(store, WRITES, "steps:perdure", common | {"mode": "write"}, takes),
                Case(store, DBOS, "contenders.dbos_program:steps", common, takes + 3, "dbos"),
                Case(store, THREADS, "contenders.dbos_program:steps_in_threads", common, takes + 3, "dbos"),
                Case(store, LANGGRAPH, "contenders.langgraph_program:steps", common, takes + 2, "langgraph"),
            ]
        return made

    return cases


def _ratios(found: Round) -> None:
    for (store, contender), measured in found.items():
        rate = measured["steps per second"][0]
        wanted = {"of bare rows": (BARE,), "of indexed rows": (INDEXED,)}
        if contender.startswith("perdure"):
            wanted |= {"times DBOS": (DBOS, THREADS), "times LangGraph": (LANGGRAPH,)}
        for metric, others in wanted.items():
            against = [
                found[store, other]["steps per second"][0] for other in others if (store, other) in found
            ]
            if against:
                measured[metric] = (rate / max(against), "ratio")


def _fleet(scale: Scale) -> list[Case]:
    queued = int(2_000 * (scale.seconds + 2)) if scale.seconds > 1 else 1_500
    common = {"seconds": scale.seconds, "queued": queued}
    takes = scale.seconds + 12
    return [
        Case("postgres", "one worker process", "steps:fleet", common | {"processes": 1}, takes),
        Case("postgres", "two worker processes", "steps:fleet", common | {"processes": 2}, takes),
    ]


def _fleet_ratio(found: Round) -> None:
    one, two = (found.get(("postgres", f"{n} worker process{es}")) for n, es in (("one", ""), ("two", "es")))
    if one and two:
        two["times one"] = (two["steps per second"][0] / one["steps per second"][0], "ratio")


# the others ----------------------------------------------------------------------------------------------------


def _turn(scale: Scale) -> list[Case]:
    common = {"seconds": scale.seconds}
    takes = scale.seconds + 1
    return [Case("-", "no durability", "turn:plain", common, takes)] + [
        Case(store, name, "turn:durable", common | {"durability": durability}, takes)
        for store in STORES
        for name, durability in ((STEP, "step"), (PIPELINED, "pipelined"))
    ]


def _added(found: Round) -> None:
    plain = found.get(("-", "no durability"))
    for (store, _), measured in found.items():
        if store != "-" and plain:
            measured["added to a turn"] = (measured["median turn"][0] - plain["median turn"][0], "ms")


def _sizes(scale: Scale) -> list[Case]:
    made: list[Case] = []
    for store in STORES:
        common = {"runs": scale.weighed, "python": None}
        writer = "raw_limit:write_runs"
        made += [
            Case(store, BARE, "sizes:sizes", common | {"writer": writer, "indexed": False}),
            Case(store, INDEXED, "sizes:sizes", common | {"writer": writer, "indexed": True}),
            Case(store, STEP, "sizes:sizes", common | {"writer": "sizes:perdure_runs"}, 5),
        ]
        for contender, program, more in (
            (DBOS, "dbos", {}),
            (LANGGRAPH, "langgraph", {"delta": False}),
            (DELTA, "langgraph", {"delta": True}),
        ):
            options = {"runs": 1, "writer": f"contenders.{program}_program:size", **more}
            made.append(Case(store, contender, "sizes:sizes", options, 12, program))
    return made


def _of_raw(found: Round) -> None:
    for (store, _), measured in found.items():
        for metric, other in (("of bare rows", BARE), ("of indexed rows", INDEXED)):
            if against := found.get((store, other)):
                key = "bytes at 200 turns"
                measured[metric] = (measured[key][0] / against[key][0], "ratio")


def _held(scale: Scale) -> list[Case]:
    few, many = scale.held
    return [Case(s, "perdure", "waiting:memory", {"few": few, "many": many}, many / 350) for s in STORES]


def _server(scale: Scale) -> list[Case]:
    waiting = scale.held[0]
    entries = scale.finished
    arguments = {"entries": entries, "waiting": waiting, "starts": waiting, "clients": max(20, waiting // 4)}
    takes = 10 + waiting / 50 + entries / 10_000
    return [Case(store, "perdure", "server:load", arguments, takes) for store in STORES]


def _rollups(scale: Scale) -> list[Case]:
    runs = max(20, scale.due // 40)
    return [Case(s, "perdure", "rollups:rollups", {"runs": runs}, 3 + runs / 150) for s in STORES]


def _waiting(scale: Scale) -> list[Case]:
    arguments = {"count": scale.waiting, "sample": scale.signals, "rounds": 3}
    takes = 30 + scale.waiting / 700 + scale.signals * 0.15
    return [Case(store, "perdure", "waiting:restart", arguments, takes) for store in STORES]


def _claims(scale: Scale) -> list[Case]:
    counts = {"finished": scale.finished, "waiting": scale.waiting, "due": scale.due}
    takes = 10 + scale.finished / 15_000 + scale.due / 1_000 + scale.seconds
    return [Case(s, "perdure", "claims:claims", counts | {"seconds": scale.seconds}, takes) for s in STORES]


def _limits(scale: Scale) -> list[Case]:
    arguments = {"processes": 8, "seconds": scale.seconds}
    takes = 4 * (scale.seconds + 6)
    return [Case(s, "perdure", "limits:limits", arguments, takes) for s in STORES]


def _reservations(scale: Scale) -> list[Case]:
    return [
        Case(
            store,
            name,
            "reservations:reservations",
            {"sliced": sliced, "processes": 4, "seconds": scale.seconds},
            scale.seconds + 6,
        )
        for store in STORES
        for name, sliced in (("perdure: in slices, with the calls", True), ("perdure: one by one", False))
    ]


def _boundary(scale: Scale) -> list[Case]:
    return [
        Case(store, stage, "boundary:calls", {"stage": stage, "seconds": scale.seconds}, scale.seconds + 1)
        for store in STORES
        for stage in STAGES
    ]


def _share(found: Round) -> None:
    for (store, stage), measured in found.items():
        bare = found.get((store, "nothing declared"))
        if bare and stage != "nothing declared":
            measured["added"] = (measured["median call"][0] - bare["median call"][0], "ms")


def _recovery(scale: Scale) -> list[Case]:
    arguments = {"runs": scale.killed, "lease": scale.lease}
    return [Case(s, "perdure", "recovery:recovery", arguments, scale.lease + 6) for s in STORES]


def _replay(scale: Scale) -> list[Case]:
    return [
        Case(store, "perdure", "replay:replay", {"steps": steps, "rounds": 3}, 4 + steps / 1_000)
        for store in STORES
        for steps in scale.steps
    ]


def _identity(scale: Scale) -> list[Case]:
    common = {"seconds": min(scale.seconds, 3)}
    return [
        Case("-", "the library alone", "identity:library", common, 4),
        Case("-", TOKENS, "identity:tokens", common, 6),
    ]


def _policy(scale: Scale) -> list[Case]:
    common = {"seconds": min(scale.seconds, 3)}
    return [
        Case("-", CEDAR, "policy:cedar", common, 4),
        Case("-", POLICIES, "policy:verdicts", common, 5),
    ]


def _backtest(scale: Scale) -> list[Case]:
    decisions = 1_000 if scale.seconds < 5 else 100_000
    return [
        Case(store, BACKTEST, "backtest:backtest", {"decisions_": decisions}, decisions // 1_000)
        for store in STORES
    ]


def _beside_cedar(found: Round) -> None:
    raw, ours = found.get(("-", CEDAR)), found.get(("-", POLICIES))
    if raw and ours:
        ours["beside Cedar's own"] = (ours["verdict"][0] - raw["verdict"][0], "us")


def _audit(scale: Scale) -> list[Case]:
    found = [Case("-", "the hashes alone", "audit:hashes", {"seconds": min(scale.seconds, 2)}, 3)]
    for store in STORES:
        found += [
            Case(store, APPENDED, "audit:appended", {"seconds": scale.seconds}, scale.seconds + 4),
            Case(
                store,
                VERIFIED,
                "audit:verified",
                {"runs": 200, "entries": 100 if scale.seconds < 5 else 400},
                8,
            ),
        ]
    return found


def _recall(scale: Scale) -> list[Case]:
    del scale
    of_both = [
        Case(store, f"by {by}", "recall:quality", {"by": by}, 6)
        for store in STORES
        for by in ("words", "meaning", "both")
    ]
    return [*of_both, *(Case("sqlite", f"by {by}", "recall:quality", {"by": by}, 4) for by in HASHED)]


def _imports(scale: Scale) -> list[Case]:
    del scale
    return [
        Case("-", f"`{statement}`", "imports:imports", {"statement": statement, "rounds": 5}, 3)
        for statement in ("import perdure", "from perdure import App, Run")
    ]


_PER_STEP = (
    "CPU is of the worker's process; the server's, and its log, are per step of the whole measurement. Ratios to the "
    "raw limit: against rows without an index, in which no run could be found again, and with one. DBOS is the faster "
    "of its two ways; on SQLite it is given WAL mode and `synchronous=full`."
)

BENCHES: dict[str, Bench] = {
    bench.name: bench
    for bench in (
        Bench("steps-64", "Durable steps, 64 runs at once", _steps(64), derive=_ratios, note=_PER_STEP),
        Bench("steps-512", "Durable steps, 512 runs at once", _steps(512), derive=_ratios, note=_PER_STEP),
        FRAMEWORKS,
        Bench(
            "fleet",
            "Worker processes that share a queue",
            _fleet,
            derive=_fleet_ratio,
            note="Every step on disk, 256 runs at once in each. Both share the cores with the server.",
        ),
        Bench(
            "turn",
            "One run whose model takes 20 ms",
            _turn,
            derive=_added,
            note="The tool is free of work, so that a turn is the model, and what durability adds.",
        ),
        Bench(
            "sizes",
            "Bytes of a run",
            _sizes,
            rounds=lambda scale: 1,
            derive=_of_raw,
            note="All tables and indexes. The answers are text that does not compress to nothing.",
        ),
        Bench(
            "boundary",
            "What each stage of the boundary adds to a call",
            _boundary,
            derive=_share,
            note="One run, a tool free of work, commits under way meanwhile. A rate asks the store at each call.",
        ),
        Bench("held", "Memory of waiting runs", _held, rounds=lambda scale: 1),
        Bench("waiting", "Restart and signals with waiting runs", _waiting, rounds=lambda scale: 1),
        Bench(
            "server",
            "The server under load",
            _server,
            rounds=lambda scale: 1,
            note="Server, worker and load in one process, on a million entries. Looks go one at a time; then runs are "
            "started by 32 at once while as many wait, and a stream is held for every fourth of them.",
        ),
        Bench(
            "rollups",
            "Projections",
            _rollups,
            rounds=lambda scale: 1,
            note="All journals folded anew, as `perdure rebuild` does. CPU is of this process; SQLite is part of it.",
        ),
        Bench(
            "claims",
            "Claims in a full store",
            _claims,
            rounds=lambda scale: 1,
            note="Claimed in batches of 64, by one worker. The plans are in `plans.md`.",
        ),
        Bench(
            "limits",
            "Breakers and rate limits under 8 workers",
            _limits,
            note="32 calls of each process at once. Every failure that is counted and every place is on disk.",
        ),
        Bench(
            "reservations",
            "Reservations on one shared budget, from 4 workers",
            _reservations,
            note=(
                "In slices: runs of 64 calls, 16 at once in each process; each call is reserved, made and charged, and "
                "all of it is in the journal. One by one is the worst there is: runs of one call, each of which draws "
                "a slice and gives it back; nothing else is measured then."
            ),
        ),
        Bench("recovery", "A worker killed in the middle of its runs", _recovery),
        Bench("replay", "Replay of a long run", _replay, rounds=lambda scale: 1),
        Bench(
            "identity",
            "A token for one call",
            _identity,
            note=(
                "CPU time. To verify is to check two signatures, the token's and the proof's, and all that they say; "
                "the library checks one."
            ),
        ),
        Bench(
            "policy",
            "A verdict on one call",
            _policy,
            derive=_beside_cedar,
            note=(
                "100 policies with a schema, of 30 tools; medians. Ours traces three arguments to 20 sources, and "
                "writes down what it found. Cedar's own call looks at all policies, ours at those that can have a say."
            ),
        ),
        Bench(
            "policy-backtest",
            "Recorded decisions judged by other policies",
            _backtest,
            rounds=lambda scale: 1,
            note=(
                "100,000 decisions, each about another call, by 100 policies of which a quarter can have a say; one in "
                "ten is asked about twice, as somebody would have to approve. Reading the journals is in the figure."
            ),
        ),
        Bench(
            "audit",
            "The audit log",
            _audit,
            note=(
                "64 runs append entries of 1 KB, with and without a sequencer, in windows that take turns. What "
                "it owes at the end of a window is in the figure. CPU is of the worker's process."
            ),
        ),
        MEMORY,
        Bench(
            "recall",
            "How well working memory finds",
            _recall,
            rounds=lambda scale: 1,
            note="300 passages, 160 questions (`benchmarks/recall_set.py`). Meaning is what `wordllama:256` knows.",
        ),
        Bench("imports", "Import times", _imports, rounds=lambda scale: 1),
    )
}
