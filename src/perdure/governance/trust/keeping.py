"""The rings of a store: read before each effect, narrowed by anybody, widened by a signature.

    standing ─► cells ─► records ─► chain ─► ring
    narrow   ─► record, unsigned, at once: the next effect on any worker is judged by it
    widen    ─► record, signed by a person over the evidence

Nothing is told to workers: whoever is about to make an effect asks the store, with a look that begins then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pydantic_core

from ...core.approval_settings import ApprovalSettings
from ...core.errors import BadSignature, StoreCorrupt, TrustRefused
from ...core.people import is_agent, person
from ...core.rings import ANY_ACTION, Ring
from ...core.trust_settings import TrustSettings
from ...journal import Amendment, Cell, CellKey, Store
from ..signatures import proven
from .chain import Chain, Judged, TrustStanding, torn
from .records import GENESIS, HEAD, RECORD, TrustChange, TrustRecord, head_key, record_key

__all__ = ["Trust"]

MOST_CHAINS = 10_000
"""Chains that are remembered as looked through."""

_PAGE = 1000
_TRIES = 20


class Trust:
    """The trust that people have put into agents, as a store holds it."""

    def __init__(self, store: Store, settings: TrustSettings, approvals: ApprovalSettings) -> None:
        self.store = store
        self.settings = settings
        self._approvals = approvals
        self._looked: dict[tuple[str, str, str, str], Chain] = {}

    # reading ---------------------------------------------------------------------------------------------------

    async def ring(self, tenant: str, agent: str, action: str, *, start: Ring) -> TrustStanding:
        """Where the agent stands with the action, as it is now. Raises `StoreError`.

        `*` is what all its actions are held to at most: it begins with nothing, wherever they begin.
        """
        return await self._standing(tenant, agent, action, await self._heads(tenant, agent), start=start)

    async def rings(self, tenant: str, agent: str, starts: Mapping[str, Ring]) -> dict[str, Ring]:
        """The rings of several actions, by one look. Raises `StoreError`."""
        heads = await self._heads(tenant, agent)
        return {
            action: (await self._standing(tenant, agent, action, heads, start=start)).ring
            for action, start in starts.items()
        }

    async def _standing(
        self, tenant: str, agent: str, action: str, heads: Mapping[CellKey, Cell], *, start: Ring
    ) -> TrustStanding:
        if action == ANY_ACTION:
            start = Ring.NONE
        if not heads:
            return TrustStanding(tenant=tenant, agent=agent, action=action, ring=start, start=start)
        mine, all_ = head_key(tenant, agent, action), head_key(tenant, agent, ANY_ACTION)
        chain = await self._chain(tenant, agent, action, heads.get(mine))
        ring, problem = chain.ring(start)
        capped = None
        if action != ANY_ACTION and all_ in heads:
            above = await self._chain(tenant, agent, ANY_ACTION, heads[all_])
            cap, wrong = above.ring(Ring.NONE)
            if ring.wider_than(cap):
                ring, problem = cap, problem or wrong
                capped = next((j.record for j in reversed(above.judged) if not j.problem), None)
        return TrustStanding(
            tenant=tenant,
            agent=agent,
            action=action,
            ring=ring,
            start=start,
            records=chain.judged,
            capped=capped,
            problem=problem,
        )

    async def known(self, tenant: str, agent: str | None = None) -> list[tuple[str, str]]:
        """The agents and actions of which there are records."""
        found: dict[tuple[str, str], None] = {}
        after: CellKey | None = None
        prefix = "" if agent is None else record_key(tenant, agent, "").name.removesuffix("/")
        while page := await self.store.cells(RECORD, tenant=tenant, prefix=prefix, after=after, limit=_PAGE):
            for _, cell in page:
                told: dict[str, Any] = pydantic_core.from_json(cell.data)
                found[told["agent"], told["action"]] = None
            after = page[-1][0]
        return list(found)

    async def _heads(self, tenant: str, agent: str) -> dict[CellKey, Cell]:
        found: dict[CellKey, Cell] = {}
        prefix = head_key(tenant, agent, "").name
        after: CellKey | None = None
        while True:
            page = await self.store.cells(HEAD, tenant=tenant, prefix=prefix, after=after, limit=_PAGE)
            found.update(page)
            if len(page) < _PAGE:
                return found
            after = page[-1][0]

    async def _chain(self, tenant: str, agent: str, action: str, head: Cell | None) -> Chain:
        """The records up to a head; looked through once, as long as it stays the head."""
        if head is None:
            return Chain()
        try:
            told: dict[str, Any] = pydantic_core.from_json(head.data)
            seq, last = int(told["seq"]), str(told["hash"])
        except (ValueError, KeyError, TypeError):
            return Chain(torn="the head of the records cannot be read")
        name = tenant, agent, action, last
        chain = self._looked.get(name)
        if chain is None:
            chain = await self._read(tenant, agent, action, seq, last)
            if not chain.torn:  # a record that is on its way is not missing for good
                if len(self._looked) >= MOST_CHAINS:
                    self._looked.clear()
                self._looked[name] = chain
        return chain

    async def _read(self, tenant: str, agent: str, action: str, seq: int, last: str) -> Chain:
        records: list[TrustRecord] = []
        prefix, after = record_key(tenant, agent, action).name, None
        while True:
            page = await self.store.cells(RECORD, tenant=tenant, prefix=prefix, after=after, limit=_PAGE)
            for key, cell in page:
                try:
                    record = TrustRecord.read(cell.data)
                except (ValueError, KeyError, TypeError):
                    return Chain(torn=f"a record cannot be read (`{key.name}`)")
                if record_key(record.tenant, record.agent, record.action, record.seq) != key:
                    return Chain(torn=f"a record is about something else than its place (`{key.name}`)")
                records.append(record)
            if len(page) < _PAGE:
                break
            after = page[-1][0]
        records = records[:seq]  # what was written since the head was read is looked at with the next
        if why := torn(records, seq=seq, head=last):
            return Chain(torn=why)
        return Chain([Judged(record, await self._problem(record)) for record in records])

    async def _problem(self, record: TrustRecord) -> str:
        """Why a record does not count; empty where it does."""
        if not record.widens:
            return ""
        if record.proof is None:
            return "it widens the ring, and nobody signed it"
        return await self._unsigned(record.change(), record.proof, record.by, at=record.at)

    async def _unsigned(self, change: TrustChange, proof: str, by: str, *, at: int) -> str:
        """Why a signature under a change does not count; empty where it does."""
        if problem := self._may_not_sign(by):
            return problem
        try:
            await proven(proof, change.statement(by), self._approvals, self.store, at=at, now=at)
        except BadSignature as error:
            return str(error)
        return ""

    def _may_not_sign(self, by: str) -> str:
        if is_agent(by):
            return f"`{by}` is an agent, and agents widen no ring"
        signers = self.settings.signers
        people = self._approvals.people_of(signers)
        if signers and person(by) not in {person(name) for name in people}:
            return f"`{by}` is not among those whose signature widens a ring: {', '.join(people)}"
        return ""

    # changing --------------------------------------------------------------------------------------------------

    async def narrow(
        self,
        tenant: str,
        agent: str,
        action: str,
        *,
        reason: str,
        by: str,
        start: Ring,
        to: Ring | None = None,
        cause: str | None = None,
    ) -> TrustRecord | None:
        """Narrow a ring, to `to` or by one; it holds for every effect that begins once this has returned.

        `action` is a tool's name, or `*` for all actions of the agent. With a `cause` (`RUN/STEP`) that has narrowed it
        already nothing happens again. None: nothing had to be done, as the ring is as narrow. Raises `StoreError`.
        """
        for _ in range(_TRIES):
            now = await self.ring(tenant, agent, action, start=start)
            if cause is not None and any(j.record.cause == cause for j in now.records):
                return None
            wanted = now.ring.narrower() if to is None else to
            if not now.ring.wider_than(wanted):
                return None
            made = await self._append(
                now,
                lambda at, now=now, wanted=wanted: TrustRecord(
                    tenant=tenant,
                    agent=agent,
                    action=action,
                    seq=now.seq + 1,
                    prev=now.hash,
                    before=now.ring,
                    ring=wanted,
                    by=by,
                    reason=reason[:1000],
                    at=at,
                    cause=cause,
                ),
            )
            if made is not None:
                return made
        raise _busy(agent, action)

    async def widen(self, change: TrustChange, proof: str, *, by: str, start: Ring) -> TrustRecord:
        """Make a change that was proposed, under the signature of `by`. Raises `TrustRefused`, and `StoreError`."""
        now = await self.ring(change.tenant, change.agent, change.action, start=start)
        where = f"the ring of `{change.agent}` for `{change.action}` stays `{now.ring}`"
        if (now.seq, now.hash) != (change.seq - 1, change.prev):
            raise TrustRefused(
                f"{where}: it was changed since the proposal was made; look at `perdure trust history`, and propose it "
                "anew"
            )
        if not isinstance(proof, str) or not proof:  # pyright: ignore[reportUnnecessaryIsInstance]  # a sign-in cannot be looked at again, years later
            raise TrustRefused(f"{where}: it takes the signature of a key under `[approvals.keys]`")
        if problem := await self._unsigned(change, proof, by, at=self.store.now()):
            raise TrustRefused(f"{where}: {problem}")
        made = await self._append(
            now,
            lambda at: TrustRecord(
                tenant=change.tenant,
                agent=change.agent,
                action=change.action,
                seq=change.seq,
                prev=change.prev,
                before=change.before,
                ring=change.ring,
                by=by,
                reason=change.reason,
                at=at,
                evidence=change.evidence,
                proposed_by=change.proposed_by,
                proof=proof,
            ),
        )
        if made is None:
            raise TrustRefused(f"{where}: it was changed at this moment; propose it anew")
        return made

    async def _append(self, now: TrustStanding, make: Callable[[int], TrustRecord]) -> TrustRecord | None:
        """Add a record behind the last; None: somebody else was faster."""
        head = head_key(now.tenant, now.agent, now.action)
        key = record_key(now.tenant, now.agent, now.action, now.seq + 1)

        def change(cells: Mapping[CellKey, Cell], at: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            there = cells.get(head)
            told: dict[str, Any] = {"seq": 0, "hash": GENESIS}
            if there is not None:
                told = pydantic_core.from_json(there.data)
            if (told["seq"], told["hash"]) != (now.seq, now.hash) or key in cells:
                return {}, None
            made: TrustRecord = make(at)
            made = replace(made, hash=made.hashed())
            last = pydantic_core.to_json({"seq": made.seq, "hash": made.hash})
            return {head: Cell(last), key: Cell(made.data())}, made

        return await self.store.amend(Amendment([head, key], change), news=True)


def _busy(agent: str, action: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"the records of trust in `{agent}` for `{action}` cannot be continued: their head is not their last record; "
        "`perdure trust history` shows them"
    )
