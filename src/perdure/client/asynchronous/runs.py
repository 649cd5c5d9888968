"""`client.runs`: start, list, show, read, follow and steer runs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ...core.errors import RunFailed
from ..models import (
    Accepted,
    Cancel,
    EntryOut,
    Event,
    Fork,
    Page,
    Resume,
    RetryRun,
    RunBudget,
    RunOut,
    RunResult,
    Settle,
    Signal,
    StartRun,
    Taken,
)
from .link import Link

__all__ = ["Runs"]

KEPT: Any = object()
"""The input of a fork that keeps its source's."""


class Runs:
    """The runs of a server, as far as they are the caller's tenant's. Raises the errors that the server raised."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def start(
        self,
        agent: str,
        input: Any = None,
        *,
        run_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Accepted:
        """Accept a run: once this returns, it is on disk. `more` is whatever `perdure.App.start` takes beside.

        Sent again by itself where the network fails: under one key it is one run. Whoever may die before the answer
        comes gives an `idempotency_key` (or a `run_id`) that they know again.
        """
        asked = StartRun.model_validate(
            {
                "agent": agent,
                "input": input,
                **({"run_id": run_id} if run_id else {}),
                **({"labels": dict(labels)} if labels else {}),
                **more,
            }
        )
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
        return await self._link.ask("POST", "/runs", Accepted, body=asked, headers=headers, repeatable=True)

    async def page(
        self,
        *,
        status: Sequence[str] | None = None,
        agent: str | None = None,
        version: str | None = None,
        label: Mapping[str, str] | None = None,
        reason: str | None = None,
        principal: str | None = None,
        subject: str | None = None,
        parent: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[RunOut]:
        """One page of runs, the newest first; `after` is `next` of the page before."""
        query = {
            "status": None if status is None else list(status),
            "agent": agent,
            "version": version,
            "label": None if label is None else [f"{name}={value}" for name, value in label.items()],
            "reason": reason,
            "principal": principal,
            "subject": subject,
            "parent": parent,
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "limit": limit,
            "after": after,
        }
        return await self._link.ask("GET", "/runs", Page[RunOut], query=query)

    async def list(self, **filters: Any) -> AsyncIterator[RunOut]:
        """All runs that fit the filters of `page`, the newest first."""
        while True:
            page = await self.page(**filters)
            for run in page.items:
                yield run
            if page.next is None:
                return
            filters["after"] = page.next

    async def show(self, run: str) -> RunOut:
        """One run as it stands."""
        return await self._link.ask("GET", f"/runs/{run}", RunOut)

    async def entries(self, run: str, *, after: int = 0) -> AsyncIterator[EntryOut]:
        """Its journal, in order."""
        while True:
            query = {"after": after, "limit": 200}
            page = await self._link.ask("GET", f"/runs/{run}/entries", Page[EntryOut], query=query)
            for entry in page.items:
                yield entry
            if page.next is None:
                return
            after = int(page.next)

    async def events(self, run: str, *, after: int = 0, tokens: bool = False) -> AsyncIterator[Event]:
        """What is recorded of a run behind the entry `after`, then as it comes, until it has ended.

        Taken up again where the connection breaks: no entry is lost, and none comes twice. With `tokens` also what
        its models say as they say it, as `token` with `step`, `attempt`, `at` and `text`: it is provisional, and what
        stands at `at` and behind it was said before and does not count any more. The step's entry is what counts.
        """
        path = f"/runs/{run}/events?tokens=1" if tokens else f"/runs/{run}/events"
        async for event in self._link.events(path, last=str(after) if after else ""):
            yield event

    async def wait(self, run: str) -> RunOut:
        """The run, once it has ended."""
        async for event in self.events(run, after=2**53):
            if event.name == "end":
                break
        return await self.show(run)

    async def result(self, run: str) -> RunResult:
        """How a run ended, once it has."""
        await self.wait(run)
        return await self._link.ask("GET", f"/runs/{run}/result", RunResult)

    async def run(self, agent: str, input: Any = None, **options: Any) -> Any:
        """Start a run, wait for its end, and return its result. Raises `RunFailed` where it did not succeed."""
        started = await self.start(agent, input, **options)
        ended = await self.result(started.run)
        if ended.status != "succeeded":
            raise RunFailed(
                f"run `{ended.run}` ended {ended.status}: {ended.why or 'its journal says why'}",
                status=ended.status,
                value=ended.result,
                missing=ended.missing,
            )
        return ended.result

    # steering --------------------------------------------------------------------------------------------------

    async def signal(
        self, run: str, name: str, payload: Any = None, *, message_id: str | None = None
    ) -> Taken:
        """Send a run a signal, for its `run.receive(name)`."""
        asked = Signal(name=name, payload=payload, message_id=message_id or uuid.uuid4().hex)
        return await self._link.ask("POST", f"/runs/{run}/signal", Taken, body=asked, repeatable=True)

    async def cancel(
        self, run: str, *, reason: str = "", terminate: bool = False, compensate: bool = False
    ) -> RunOut:
        """Cancel a run at its next step; see `perdure.App.cancel`."""
        asked = Cancel(reason=reason, terminate=terminate, compensate=compensate)
        return await self._link.ask("POST", f"/runs/{run}/cancel", RunOut, body=asked)

    async def pause(self, run: str) -> RunOut:
        """Hold a run at its next step until it is resumed."""
        return await self._link.ask("POST", f"/runs/{run}/pause", RunOut, repeatable=True)

    async def resume(self, run: str, *, reset: bool = False) -> RunOut:
        """Let a run go on; with `reset` also one in quarantine."""
        asked = Resume(reset=reset)
        return await self._link.ask("POST", f"/runs/{run}/resume", RunOut, body=asked, repeatable=True)

    async def settle(
        self, run: str, step: str, *, happened: bool, result: Any = None, proof: Any = None
    ) -> Taken:
        """Say whether a write in doubt happened, and with what result."""
        asked = Settle(step=step, happened=happened, result=result, proof=proof)
        return await self._link.ask("POST", f"/runs/{run}/settle", Taken, body=asked)

    async def retry(
        self, run: str, *, run_id: str | None = None, version: str | None = None, force: bool = False
    ) -> Accepted:
        """A new run that tries again what ended this one."""
        asked = RetryRun(run_id=run_id, version=version, force=force)
        return await self._link.ask("POST", f"/runs/{run}/retry", Accepted, body=asked, repeatable=True)

    async def fork(
        self,
        run: str,
        *,
        from_step: str,
        input: Any = KEPT,
        run_id: str | None = None,
        version: str | None = None,
    ) -> Accepted:
        """A new run that has all of this one before a step, and goes on by itself from there."""
        told: dict[str, Any] = {"from_step": from_step, "run_id": run_id, "version": version}
        if input is not KEPT:
            told["input"] = input
        asked = Fork.model_validate(told)
        return await self._link.ask("POST", f"/runs/{run}/fork", Accepted, body=asked)

    async def budget(self, run: str, more: Any, *, reason: str = "") -> Taken:
        """Give a run that waits for its budget more (`{"money": 5}`), or, with None, let it end."""
        asked = RunBudget.model_validate({"more": more, "reason": reason})
        return await self._link.ask("POST", f"/runs/{run}/budget", Taken, body=asked)
