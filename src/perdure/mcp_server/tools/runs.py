"""Runs: search, look, watch, read, start, cancel."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from ...access import Role
from ...access.viewings import Viewings
from ...client.models import RunId, Status
from ...core.clock import to_micros
from ...core.errors import Forbidden
from ...journal import RunStatus
from ...views.runs import RunsQuery, runs_page
from ...views.story import QUIET, Lines
from ...views.words import clock_time, one_line
from ..asking import Asking
from ..runs import settled, told
from ..shapes import RunFound, RunTold, run_told
from ..starting import accepted
from ..tool import Given, tool

__all__ = ["RUNS"]


class Searching(Given):
    """Which runs."""

    text: str | None = Field(
        default=None, max_length=200, description="Part of what a run was to do, or of its id"
    )
    agent: str | None = Field(default=None, max_length=200)
    status: list[Status] | None = Field(default=None, max_length=9)
    waits_for: str | None = Field(
        default=None, max_length=100, description="As `approval`, `budget`, `in_doubt`"
    )
    labels: dict[str, str] | None = Field(default=None, max_length=16, description="All of them must fit")
    since: datetime | None = Field(default=None, description="Started then or later")
    until: datetime | None = Field(default=None, description="Started before")
    limit: int = Field(default=20, ge=1, le=100)
    after: RunId | None = Field(default=None, description="`after` of the page before")


@tool(title="Search runs", role=Role.VIEWER)
async def search_runs(asked: Searching, asking: Asking) -> RunFound:
    """Search runs of agents, past ones and those that go on, the newest first. Without arguments: the last runs."""
    app, caller = asking.app, asking.caller
    if asked.text is not None and not caller.sees_payloads:
        raise Forbidden(
            f"`{caller.subject}` does not see what runs were to do, so it cannot search that: leave `text` out"
        )
    page = await runs_page(
        app.store,
        RunsQuery(
            tenant=caller.tenant,
            text=asked.text,
            agent=asked.agent,
            statuses=frozenset(RunStatus(one) for one in asked.status or ()),
            reason=asked.waits_for,
            labels=asked.labels or {},
            since=_micros(asked.since),
            until=_micros(asked.until),
            limit=asked.limit,
            before=None if asked.after is None else app.ref(asked.after, caller.tenant),
        ),
    )
    found = [run_told(row, payload=caller.sees_payloads) for row in page.rows]
    return RunFound(runs=found, after=None if page.next is None else page.next.id)


def _micros(at: datetime | None) -> int | None:
    return None if at is None else max(0, to_micros(at if at.tzinfo else at.astimezone()))


class Looking(Given):
    """One run."""

    run: RunId
    wait_seconds: float = Field(
        default=0, ge=0, le=600, description="Wait for so long until it ends or asks a person something"
    )


@tool(title="Look at a run", role=Role.VIEWER)
async def get_run(asked: Looking, asking: Asking) -> RunTold:
    """Look at one run: where it stands, what it waits for, its open questions, and how it ended, with its result.

    With `wait_seconds` it watches the run, and answers as soon as the run has ended or asks somebody something.
    """
    record = await asking.record(asked.run)
    if asked.wait_seconds:
        record = await settled(asking, record.ref, within=asking.within(asked.wait_seconds))
    return await told(asking, record)


class Reading(Given):
    """The story of a run."""

    run: RunId
    after: int = Field(default=0, ge=0, le=2**53, description="Only what came behind this entry")
    limit: int = Field(default=100, ge=1, le=500)


class StoryTold(BaseModel):
    """What happened in a run, a line each."""

    run: str
    lines: list[str] = Field(description="Entry number, time, what happened")
    after: int | None = Field(
        default=None, description="Give it as `after` for what follows; absent: that is all"
    )


@tool(title="Read the story of a run", role=Role.VIEWER, payloads=True)
async def read_story(asked: Reading, asking: Asking) -> StoryTold:
    """Read what happened in a run, step by step: calls, decisions, waits, errors, and why it stands where it stands."""
    return await story(asking, asked.run, after=asked.after, limit=asked.limit)


async def story(asking: Asking, run: str, *, after: int = 0, limit: int = 100) -> StoryTold:
    """The lines behind an entry. What goes before is read, too: a line may refer to it."""
    record = await asking.record(run)
    await Viewings(asking.app).saw(asking.caller, "entries", record.ref)
    lines, shown, last = Lines(), list[str](), 0
    at = 0
    while len(shown) < limit and (entries := await asking.app.store.read(record.ref, after=at, limit=500)):
        for entry in entries:
            line = lines.of(entry)
            if entry.seq <= after or entry.kind in QUIET:
                continue
            words = one_line(f"{line.sign} {line.subject} {line.rest}")[:600]
            shown.append(f"{entry.seq} {clock_time(entry.at)} {words}")
            last = entry.seq
            if len(shown) == limit:
                break
        at = entries[-1].seq
    return StoryTold(
        run=run, lines=shown, after=last if last and last < record.head and len(shown) == limit else None
    )


class Starting(Given):
    """A run to be started."""

    agent: str = Field(max_length=200, description="One that `list_agents` names")
    input: Any = Field(default=None, description="As its `input_schema` says")
    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="The same key starts one run, however often it is sent",
    )
    labels: dict[str, str] | None = Field(default=None, max_length=16)


@tool(title="Start a run", role=Role.OPERATOR, writes="adds")
async def start_run(asked: Starting, asking: Asking) -> RunTold:
    """Start a run of an agent and come back at once with its id. `get_run` watches it.

    Send an `idempotency_key` where the call may be repeated. It acts on behalf of whoever calls.
    """
    agent = asking.app.offered_agents().get(asked.agent)
    if agent is None:
        known = ", ".join(f"`{name}`" for name in asking.app.offered_agents()) or "none"
        raise Forbidden(
            f"agent `{asked.agent[:80]}` is not offered to MCP clients (offered: {known}); `mcp=True` at the agent, or "
            "`agents` of [mcp_serve], offers one"
        )
    handle = await accepted(asking, agent, asked.input, key=asked.idempotency_key, labels=asked.labels)
    return await told(asking, await handle.record())


class Cancelling(Given):
    """A run to be cancelled."""

    run: RunId
    reason: str = Field(default="", max_length=500)


@tool(title="Cancel a run", role=Role.OPERATOR, writes="destructive", idempotent=True)
async def cancel_run(asked: Cancelling, asking: Asking) -> RunTold:
    """Cancel a run at its next step. What it has done stays done."""
    record = await asking.record(asked.run)
    caller = asking.caller
    await asking.app.cancel(asked.run, reason=asked.reason, by=caller.subject, tenant=caller.tenant)
    return await told(asking, await asking.record(record.ref.id))


RUNS = (search_runs, get_run, read_story, start_run, cancel_run)
