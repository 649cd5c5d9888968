"""Starting runs: what is to be done, and for whom.

app.start(agent, input)                                nobody in particular
app.start(agent, input, by="user:ann")                 said, and proved by nothing: no grants
app.start(agent, input, on_behalf_of=token)            a user's token, checked against its issuer
app.start(agent, input, on_behalf_of=Principal(...))   whom your own application has checked
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..core.clock import to_micros
from ..core.errors import ConfigError, PrincipalRefused, RunConflict
from ..core.ids import RunRef, check_id, check_subject, new_id
from ..core.labels import check_labels, check_priority
from ..core.principal import Principal
from ..core.tracing import TraceContext, surrounding
from ..governance import Budget
from ..runtime import Agent, new_run
from ..runtime.progress.records import SERIES_LABEL
from .handle import Handle
from .identities import Identities
from .steering import Steering

__all__ = ["Starts"]


class Starts(Identities, Steering):
    """The part of `App` that accepts runs."""

    async def start(
        self,
        agent: Agent | str,
        input: Any = None,
        *,
        run_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        deadline: datetime | timedelta | None = None,
        priority: int | None = None,
        needs: Iterable[str] | None = None,
        budget: Budget | None = None,
        tenant: str | None = None,
        by: str | None = None,
        on_behalf_of: str | Principal | None = None,
        subject: str | None = None,
        series: str | None = None,
        trace: TraceContext | None = None,
    ) -> Handle:
        """Accept a run; returns once that is on disk. Idempotent by `run_id`: the same id is the same run.

        `deadline` (a time, or from now) cancels the run when it has passed. `priority`, `needs` (labels of the worker
        that is to run it) and `budget` come before those of the agent.

        `on_behalf_of` is for whom it acts: the token of a user, of an issuer in `[identity.issuers]`, or a `Principal`
        that your application vouches for. `by` in its place is only a name (`user:ann`), which grants nothing. Either
        way that person cannot approve what the run asks for. `subject` is the person whose data it handles, under whose
        key what it records is sealed. `series` is the series of runs that it is one of, in place of its agent's: it
        finds what those before it have left (`run.handover`, `run.next_item`). `trace` is the span that its spans stand
        below: the caller's own, where the program uses OpenTelemetry and says nothing.

        Raises `UnknownAgent`, `InvalidInput`, `PrincipalRefused`, `SubjectErased`, `RunConflict` where the id is taken
        by a run with another agent or other input, or on behalf of somebody else, and `ConfigError` where there is no
        master key to seal with.
        """
        await self.open()
        found = self.find_agent(agent)
        payload = found.dump_input(input)
        if subject is not None:
            check_subject(subject)
        ref = self.ref(run_id or f"{found.name}-{new_id()[:12]}", tenant)
        now = self.store.now()
        principal = await self.acting_for(on_behalf_of, ref, found)
        if principal is not None and by not in (None, principal.subject):
            raise ConfigError(
                f"the run is to act on behalf of `{principal.subject}` and `by` `{by}`: leave `by` out"
            )
        if deadline is None:
            until = None
        else:
            until = to_micros(deadline) + (now if isinstance(deadline, timedelta) else 0)
        for label, value in (labels or {}).items():
            if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
                raise ConfigError(f"label `{label}` has the value `{value}`; labels are text")
        if series is not None:
            labels = {**(labels or {}), SERIES_LABEL: check_id(series, what="a series")}
        new = new_run(
            ref,
            found,
            payload,
            key=await self.store.tenant_key(ref.tenant, subject=subject),
            at=now,
            actor="start",
            labels=labels,
            deadline=until,
            priority=None if priority is None else check_priority(priority),
            needs=None if needs is None else check_labels(needs, what="a need"),
            by=by,
            on_behalf_of=principal,
            subject=subject,
            budget=None if budget is None else budget.for_run(f"run `{ref}`"),
            trace=trace or surrounding(),
        )
        record, fresh = await self.store.create(new)
        if not fresh:
            there = (await self.store.read(ref, limit=1))[0]
            if there.fingerprint != new.first.fingerprint:
                raise RunConflict(
                    f"run `{ref}` exists already, of agent `{record.agent}`, and with other input or for somebody "
                    "else; give this one another id, or none"
                )
        return Handle(self, ref, found, fresh=fresh)

    async def acting_for(
        self, given: str | Principal | None, ref: RunRef, agent: Agent | None = None
    ) -> Principal | None:
        """Whom the run `ref` (of `agent`) may act for: the token's user, or the principal. None: nobody was named.

        Raises `PrincipalRefused`.
        """
        principal, now = (await self.verify(given) if isinstance(given, str) else given), self.store.now()
        if principal is not None and principal.tenant not in (None, ref.tenant):
            raise PrincipalRefused(
                f"`{principal.subject}` is of tenant `{principal.tenant}`, and starts no run of tenant `{ref.tenant}`"
            )
        if principal is not None and principal.expires_at is not None and principal.expires_at <= now:
            raise PrincipalRefused(f"what vouched for `{principal.subject}` has expired: sign in again")
        requires = frozenset[str]() if agent is None else agent.requires
        lacks = requires if principal is None else principal.lacks(requires, now=now)
        if agent is not None and lacks:
            who = (
                f"`{principal.subject}`" if principal and principal.verified else "nobody who was vouched for"
            )
            raise PrincipalRefused(
                f"agent `{agent.name}` requires {', '.join(f'`{g}`' for g in sorted(lacks))} of the user for whom it "
                f"runs, and this run would act for {who}"
            )
        return principal
