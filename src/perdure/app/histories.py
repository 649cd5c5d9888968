"""What an app does with the past of its runs: forks, retries, pruning."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from ..core.codec import arguments_bytes
from ..core.errors import RunConflict, RunEnded, RunPruned, UnknownRun
from ..core.ids import check_id, new_id
from ..core.principal import Principal
from ..core.settings import Retention
from ..journal import ENDINGS, Entry, RunRecord, RunStatus, verify_chain
from ..runtime import Taken, forked_run, taken_until, taken_without_failure
from .handle import Handle
from .starts import Starts

__all__ = ["KEPT", "Histories"]

KEPT: Any = object()
"""The input of a fork that keeps its source's."""

MOST_OF_AN_ID = 150
"""Characters of the source's id that stand in the id of a fork."""


class Histories(Starts):
    """The part of `App` that looks after the past: runs made out of others, and what is taken away in the end."""

    retention = Retention()
    """the settings for `retention_rules`"""

    async def fork(
        self,
        source: str,
        /,
        *,
        from_step: str,
        input: Any = KEPT,
        run_id: str | None = None,
        version: str | None = None,
        by: str = "app",
        on_behalf_of: str | Principal | None = None,
        tenant: str | None = None,
    ) -> Handle:
        """A new run that has all of `source` before its step `from_step`, and goes on by itself from there.

        No effect of what it takes over runs again. With another `input`, recorded results stand, and where a step is
        now asked with other arguments its journal says so. The source goes on untouched. Idempotent by `run_id`, the
        id of the new run.

        It acts for the user of the source. With another `input` nobody vouches that the user wants that, so it has none
        of the user's grants, unless it is told `on_behalf_of` whom it acts (as of `start`).

        Raises `UnknownRun`, `UnknownStep`, `RunPruned`, `InvalidInput`, `PrincipalRefused`, and `RunConflict` where the
        new id is taken by another run.
        """
        record, entries = await _source(self, source, tenant)
        taken = taken_until(record.ref, entries, from_step)
        made = run_id or f"{record.ref.id[:MOST_OF_AN_ID]}-fork-{new_id()[:8]}"
        whom = await self.acting_for(on_behalf_of, self.ref(made, record.ref.tenant))
        return await _begin(
            self, record, taken, made, kind="fork", input=input, version=version, by=by, on_behalf_of=whom
        )

    async def retry(
        self,
        source: str,
        /,
        *,
        run_id: str | None = None,
        version: str | None = None,
        force: bool = False,
        by: str = "app",
        tenant: str | None = None,
    ) -> Handle:
        """A new run that tries again what ended `source`: it keeps every result but the failure.

        Where the agent's own code raised, nothing is dropped: bring better code, under the same version or another.
        Idempotent: a run is retried once under each id, and the default one follows from the run. Raises `UnknownRun`,
        `RunPruned`, `RunEnded` where it succeeded (`force` retries it all the same), and `RunConflict` where it has not
        ended, where effects followed its failure, or where the new id is taken by another run.
        """
        record, entries = await _source(self, source, tenant)
        if record.status not in ENDINGS:
            raise RunConflict(
                f"run `{record.ref}` has not ended ({record.status}); cancel it first, or fork it: "
                f"`perdure runs fork {record.ref.id} --from STEP`"
            )
        if record.status is RunStatus.SUCCEEDED and not force:
            raise RunEnded(
                f"run `{record.ref}` succeeded: there is nothing to retry (to do so anyway: `--force`)"
            )
        taken = taken_without_failure(record.ref, entries)
        digest = hashlib.sha256(taken.until.hash).hexdigest()[:8]
        made = run_id or f"{record.ref.id[:MOST_OF_AN_ID]}-retry-{digest}"
        return await _begin(self, record, taken, made, kind="retry", version=version, by=by)

    async def prune(self, run_id: str, *, tenant: str | None = None) -> int:
        """Take away what a run recorded, and leave its row and the chain of its headers: how many entries lost theirs.

        Of a run that still lives only what lies before it was last continued as new. It cannot be undone. Raises
        `UnknownRun`.
        """
        await self.open()
        return await self.store.prune(self.ref(run_id, tenant))

    def retention_rules(self) -> dict[str, dict[RunStatus, timedelta]]:
        """By agent and ending, when a worker prunes: what the agent says, else the settings for it, else for all.

        Of several versions the longest counts. An agent that neither this app nor the settings name has no rule.
        """
        settings = self.retention
        common = settings.rules()
        rules: dict[str, dict[str, timedelta]] = {
            name: {**common, **kept.rules()} for name, kept in settings.agents.items()
        }
        own: dict[str, dict[str, timedelta]] = {}
        for agent in self.agents.values():
            rules.setdefault(agent.name, dict(common))
            mine = own.setdefault(agent.name, {})
            for ending, after in agent.retention.items():
                mine[ending] = max(after, mine.get(ending, after))
        return {
            name: {RunStatus(ending): after for ending, after in {**rule, **own.get(name, {})}.items()}
            for name, rule in rules.items()
        }


async def _source(app: Starts, run_id: str, tenant: str | None) -> tuple[RunRecord, list[Entry]]:
    """The run and its journal, verified. Raises `RunPruned` where there is nothing left to take over."""
    await app.open()
    ref = app.ref(run_id, tenant)
    record = await app.store.get(ref)
    if record is None:
        raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
    if record.pruned_at is not None:
        raise RunPruned(
            f"run `{ref}` was pruned: what it recorded is gone, so it can be neither forked nor retried"
        )
    entries = await app.store.read(ref, after=record.base - 1)
    verify_chain(ref, entries, after=record.base - 1, previous=record.base_hash, whole=True)
    return record, entries


async def _begin(
    app: Starts,
    source: RunRecord,
    taken: Taken,
    run_id: str,
    *,
    kind: str,
    version: str | None,
    by: str,
    input: Any = KEPT,
    on_behalf_of: Principal | None = None,
) -> Handle:
    made = source.version if version is None else check_id(version, what="an agent's version")
    agent = app.agents.get((source.agent, made))
    payload = None
    if input is not KEPT:
        payload = arguments_bytes(input)[1:-1] if agent is None else agent.dump_input(input)
    ref = app.ref(run_id, source.ref.tenant)
    new = forked_run(
        source,
        taken,
        ref,
        kind=kind,
        key=await app.store.tenant_key(ref.tenant, subject=source.subject),
        at=app.store.now(),
        actor=by,
        version=made,
        input=payload,
        on_behalf_of=on_behalf_of,
    )
    _, fresh = await app.store.create(new)
    if not fresh:
        there = (await app.store.read(ref, limit=1))[0]
        if there.fingerprint != new.first.fingerprint:
            raise RunConflict(
                f"run `{ref}` exists already, and is not this {kind} of `{source.ref}`; give it another id, or none"
            )
    return Handle(app, ref, agent, fresh=fresh)
