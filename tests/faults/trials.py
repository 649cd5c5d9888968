"""One run of `everything` that loses its worker at a boundary: how it is driven, and what must hold after it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from perdure import RunEnded
from perdure.journal import Entry, Kind
from tests.faults.processes import Process, Site, kinds
from tests.faults.programs import everything

RUN = "r1"
KEYS = {
    "look ink": "gather.0/look",
    "look paper": "gather.1/look",
    "price paper": "gather.1/price",
    "plan": "plan",
}
"""What the ledger says of repeatable steps, and their keys."""


@dataclass
class Story:
    """What was seen of a trial."""

    site: Site
    finished: set[str] = field(default_factory=set)
    """keys of the steps that had a result on disk when the worker died"""
    noted: list[str] = field(default_factory=list)
    """the ledger at that time"""
    settled: list[str] = field(default_factory=list)
    """keys of the writes that the operator had to settle"""
    answered: set[int] = field(default_factory=set)
    """the entries that asked"""


async def begin(site: Site) -> None:
    agent = everything.register(site.app)
    await site.app.start(agent, "book", run_id=RUN)


async def tend(story: Story, worker: Process, *, settle: bool = True) -> bool:
    """Play the world until the run has ended, or the worker died (False)."""
    site = story.site
    while True:
        record = await site.record(RUN)
        if record.status == "succeeded":
            return True
        assert record.status in ("pending", "running", "waiting"), record.reasons
        if worker.dead:
            return False
        if "signal" in record.reasons:
            try:
                await site.app.signal(RUN, "word", "go", message_id="the-word")
            except RunEnded:
                continue
        if "in_doubt" in record.reasons and settle and record.status == "waiting":
            await settle_by_ledger(story)
        seen = site.store.changes()
        await site.store.changed(seen, within=0.05)


async def settle_by_ledger(story: Story) -> None:
    """Settle the write in doubt by what was really done, as an operator would."""
    entries = await story.site.entries(RUN)
    doubt = next(
        e for e in reversed(entries) if e.kind == Kind.WAITING and json.loads(e.payload)["on"] == "in_doubt"
    )
    if any(e.key == doubt.key and e.kind == Kind.SETTLED and e.seq > doubt.seq for e in entries):
        return
    if doubt.seq not in story.answered:  # a worker that could not renew in time may bring a second doubt
        story.answered.add(doubt.seq)
        story.settled.append(doubt.key)
        happened = "mail ada" in story.site.notes()
        await story.site.app.settle(
            RUN, doubt.key, happened=happened, result="mailed ada" if happened else None
        )


async def remember(story: Story) -> list[Entry]:
    """Take down how things stood when the worker died."""
    entries = await story.site.entries(RUN)
    story.finished = {e.key for e in entries if e.kind in (Kind.RESULT, Kind.FAILED)}
    story.noted = story.site.notes()
    return entries


async def check(story: Story) -> list[Entry]:
    """The end is the same, no finished step ran again, each write happened once."""
    site = story.site
    entries = await site.entries(RUN)
    ending = json.loads(entries[-1].payload)
    number = next(json.loads(e.payload) for e in entries if e.kind == Kind.VALUE)
    assert ending["result"] == {**everything.RESULT, "number": number}
    for line in site.notes()[len(story.noted) :]:
        assert KEYS.get(line, line.split()[0]) not in story.finished, (
            f"`{line}` had finished, and was done again"
        )
    ends = [e.key for e in entries if e.kind in (Kind.RESULT, Kind.FAILED)]
    assert len(ends) == len(set(ends)), "a step has two results"
    epochs = [e.epoch for e in entries]
    assert epochs == sorted(epochs), "a superseded worker wrote"
    notes = site.notes()
    assert sum(line.startswith("pay ") for line in notes) == 1
    assert notes.count("mail ada") == 1
    keys = {line for line in notes if line.startswith("reserve ")}
    assert keys == {f"reserve book {RUN}/reserve"}
    for key in ("pay", "mail"):
        trail = kinds(entries, key)
        # Two intents without a word between them is a silent repetition.
        assert trail.count("intent") == 1 or "settled" in trail, trail
    return entries
