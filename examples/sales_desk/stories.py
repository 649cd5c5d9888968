"""The journals of a lead: its own run and those of its nodes, as one story."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shapes import Report

import perdure
from perdure.journal import Entry, Kind, verify_chain

FINISHED = (Kind.RESULT, Kind.FAILED)
EFFECTS = ("send_email", "log_contact")


@dataclass(frozen=True)
class Line:
    """An entry of a journal, with whose it is."""

    run: str
    agent: str
    lead: str
    entry: Entry
    payload: Any

    @property
    def at(self) -> int:
        return self.entry.at

    @property
    def kind(self) -> Kind:
        return Kind(self.entry.kind)

    @property
    def key(self) -> str:
        return self.entry.key

    @property
    def name(self) -> str:
        """The step's own name: `gather.0/search:2` is `search`."""
        return self.key.rpartition("/")[2].partition(":")[0]


@dataclass(frozen=True)
class Story:
    """A lead: its run and those of its nodes, in the order in which things happened."""

    lead: str
    run: str
    status: str
    report: Report | None
    lines: list[Line] = field(repr=False)

    @property
    def steps(self) -> list[Line]:
        return [line for line in self.lines if line.kind in FINISHED]

    @property
    def model_calls(self) -> list[Line]:
        return [line for line in self.steps if line.name == "turn"]

    @property
    def receipts(self) -> list[str]:
        """Message-IDs of the mails that the journal says were sent."""
        sent = [x for x in self.steps if x.name == "send_email" and x.kind is Kind.RESULT]
        return [line.payload["message_id"] for line in sent]

    @property
    def meant_to_send(self) -> bool:
        return any(x.kind is Kind.INTENT and x.name == "send_email" for x in self.lines)

    @property
    def in_doubt(self) -> bool:
        return any(x.kind is Kind.UNKNOWN and x.name == "send_email" for x in self.lines)

    @property
    def settled(self) -> dict[str, Any] | None:
        """How the doubt ended: `{"happened": ..., "by": ...}`."""
        found = [x.payload for x in self.lines if x.kind is Kind.SETTLED and x.name == "send_email"]
        return found[-1] if found else None


async def read_story(app: perdure.App, handle: perdure.Handle, lead: str) -> Story:
    """The journals of a lead, their chains of hashes verified. Raises `StoreCorrupt`."""
    status = await handle.status()
    lines: list[Line] = []
    handles = [handle]
    for one in handles:
        entries = await one.entries()
        verify_chain(one.ref, entries)
        read = _lines(one.id, lead, entries)
        children = {x.payload["run"] for x in read if x.kind is Kind.WAITING and x.payload["on"] == "child"}
        handles += [await app.handle(child) for child in sorted(children)]
        lines += read
    report = Report.model_validate(await handle.result()) if status == "succeeded" else None
    lines.sort(key=lambda x: (x.at, x.run, x.entry.seq))
    return Story(lead=lead, run=handle.id, status=status, report=report, lines=lines)


def _lines(run: str, lead: str, entries: Sequence[Entry]) -> list[Line]:
    agent = json.loads(entries[0].payload)["agent"]
    return [Line(run, agent, lead, entry, json.loads(entry.payload or b"null")) for entry in entries]


def finished(story: Story) -> dict[tuple[str, str], int]:
    """Each finished step that something had to be executed for, under the name its executions have, and when."""
    keys = {(x.run, x.key): x.payload["key"] for x in story.lines if x.kind is Kind.INTENT}
    found: dict[tuple[str, str], int] = {}
    for step in story.steps:
        match step.name:
            case "turn":
                about = f"{story.lead}: {step.key}"
                found["model", about] = step.at
            case "search" if step.kind is Kind.RESULT:
                found["search", f"{story.lead}: {step.payload['question']}"] = step.at
            case "read_document" if step.kind is Kind.RESULT:
                found["read_document", f"{story.lead}: {step.payload['name']}"] = step.at
            case name if name in EFFECTS:
                found[name, keys[step.run, step.key]] = step.at
            case _:
                pass
    return found
