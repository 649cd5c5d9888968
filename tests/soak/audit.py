"""The audit at the end of a soak: every effect once, or in doubt and said so; no gap, no fork, nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from perdure.core.errors import PerdureError
from perdure.journal import ENDINGS, Entry, Kind, RunQuery, RunRecord, RunStatus, Store, verify_chain
from tests.faults.programs import varied

FINAL = (Kind.RESULT, Kind.FAILED)


@dataclass
class Task:
    """A run that was accepted, and what was sent to it."""

    agent: str
    input: Any
    letters: list[str] = field(default_factory=list)
    """in the order in which they were sent"""


@dataclass
class Audit:
    """What was found."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter[str])

    def wrong(self, run: str, what: str) -> None:
        self.problems.append(f"run `{run}`: {what}")


async def audit(store: Store, tasks: Mapping[str, Task], ledger: Path) -> Audit:
    """Look at every run that was accepted, every entry of it, and every line of the ledger."""
    made = Audit()
    records = {r.ref.id: r for r in await store.find(RunQuery(limit=1_000_000))}
    for id in tasks:
        if id not in records:
            made.wrong(id, "it was accepted, and is gone")
    for id, record in records.items():
        if id not in tasks and record.parent not in tasks:
            made.wrong(id, "nobody started it")
        await _check_run(store, record, tasks.get(id), ledger, made)
    applied = ledger / "applied"
    lines = Counter(applied.read_text().splitlines() if applied.exists() else ())
    made.counts["effects applied by key"] = len(lines)
    for key, times in lines.items():
        if times > 1:
            made.wrong(key.partition("/")[0], f"`{key}` was applied {times} times")
    return made


async def _check_run(store: Store, record: RunRecord, task: Task | None, ledger: Path, made: Audit) -> None:
    id = record.ref.id
    counts = made.counts
    entries = await store.read(record.ref)
    try:
        seq, last = verify_chain(record.ref, entries)
    except PerdureError as error:
        made.wrong(id, f"its journal does not verify: {error}")
        return
    if (seq, last) != (record.head, record.head_hash):
        made.wrong(id, f"its journal ends at entry {seq}, its record says {record.head}")
    counts["runs"] += 1
    counts[f"runs {record.status}"] += 1
    counts["entries"] += len(entries)
    counts["claims"] += sum(e.kind == Kind.CLAIMED for e in entries)
    counts["highest epoch"] = max(counts["highest epoch"], record.epoch)
    _check_order(record, entries, made)
    _check_effects(id, entries, ledger, made)
    if record.status not in ENDINGS:
        made.wrong(id, f"it has not ended: {record.status}, {record.reasons}")
    elif record.status is not RunStatus.SUCCEEDED:
        made.wrong(id, f"it ended {record.status}: {record.reasons}")
    elif task is not None:
        result = json.loads(entries[-1].payload)["result"]
        wanted = varied.expected(task.agent, task.input, task.letters)
        if result != wanted:
            made.wrong(id, f"its result is {result}, and should be {wanted}")
        _check_messages(id, task, entries, made)


def _check_order(record: RunRecord, entries: list[Entry], made: Audit) -> None:
    id = record.ref.id
    epochs = [e.epoch for e in entries]
    if epochs != sorted(epochs) or epochs[-1] > record.epoch:
        made.wrong(id, f"a superseded worker wrote: epochs {epochs}")
    claims = [e.epoch for e in entries if e.kind == Kind.CLAIMED]
    if len(claims) != len(set(claims)):
        made.wrong(id, f"two segments of one epoch: {claims}")
    for generation in generations(entries):
        ends = Counter(e.key for e in generation if e.kind in FINAL)
        for key, times in ends.items():
            if times > 1:
                made.wrong(id, f"step `{key}` has {times} results")


def generations(entries: list[Entry]) -> list[list[Entry]]:
    """The journal, cut where the run was continued as new."""
    cuts = [n for n, e in enumerate(entries) if e.kind == Kind.CONTINUED]
    return [entries[a:b] for a, b in pairwise([0, *cuts, len(entries)])]


def _check_effects(id: str, entries: list[Entry], ledger: Path, made: Audit) -> None:
    """The journal against the ledger, step by step."""
    file = ledger / id
    sent = Counter(file.read_text().splitlines() if file.exists() else ())
    told: set[str] = set()
    trails = [
        [e for e in generation if e.key == key]
        for generation in generations(entries)
        for key in {e.key for e in generation if e.kind == Kind.INTENT}
    ]
    for trail in trails:
        intent = json.loads(next(e.payload for e in trail if e.kind == Kind.INTENT))
        tool, key = intent["tool"], intent["key"]
        line = f"{tool} {key}"
        if line in told:
            made.wrong(id, f"two steps have the key `{key}`")
        told.add(line)
        times = sent[line]
        result = any(e.kind == Kind.RESULT for e in trail)
        intents = sum(e.kind == Kind.INTENT for e in trail)
        doubts = sum(e.kind == Kind.UNKNOWN for e in trail)
        refuted = sum(e.kind == Kind.SETTLED and not json.loads(e.payload)["happened"] for e in trail)
        made.counts["effects sent"] += times
        made.counts["doubts"] += doubts
        made.counts["doubts that had not happened"] += refuted
        if result and times == 0:
            made.wrong(id, f"`{key}` has a result, and never happened")
        if result and tool in ("pay", "reserve") and not varied_applied(ledger, key):
            made.wrong(id, f"`{key}` has a result, and its receiver knows nothing of it")
        if tool == "reserve":  # may be sent again: it says so, by its effect
            made.counts["effects sent again under their key"] += max(0, times - 1)
            continue
        if intents > 1 + refuted:
            made.wrong(id, f"`{key}` was repeated in silence: {intents} intents, {refuted} refuted doubts")
        if times > 1 + refuted:
            made.wrong(id, f"`{key}` was sent {times} times with {refuted} refuted doubts")
        if times > 1:  # a frozen worker sent it after it was settled as not done
            made.counts["effects that came too late, in doubt and said so"] += 1
    for line in sent.keys() - told:
        made.wrong(id, f"`{line}` happened without an intent")


def varied_applied(ledger: Path, key: str) -> bool:
    return (ledger / ("key " + key.replace("/", " "))).exists()


def _check_messages(id: str, task: Task, entries: list[Entry], made: Audit) -> None:
    messages: list[dict[str, Any]] = []
    carried = 0
    for entry in entries:
        if entry.kind == Kind.CONTINUED:  # copies of what no step had received follow it
            carried = len(json.loads(entry.payload)["carried"])
        elif entry.kind == Kind.MESSAGE and carried:
            carried -= 1
        elif entry.kind == Kind.MESSAGE:
            messages.append(json.loads(entry.payload))
    signals = [m["id"] for m in messages if m["kind"] == "signal"]
    made.counts["signals"] += len(signals)
    if len(signals) != len(set(signals)):
        made.wrong(id, f"a signal was taken twice: {signals}")
    if sorted(signals) != sorted(task.letters):
        made.wrong(id, f"signals {task.letters} were sent, and {signals} arrived")
