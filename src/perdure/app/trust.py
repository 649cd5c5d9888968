"""Trust rings as an app has them: how its agents stand, what speaks for a wider ring, and who changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError, TrustRefused
from ..core.ids import RunRef, check_id
from ..core.rings import ANY_ACTION, RINGS, Ring, ring_of
from ..core.trust_settings import TrustSettings
from ..governance.trust import Evidence, Trust, TrustChange, TrustRecord, TrustStanding, gathered, runs_needed
from ..governance.trust.outcomes import goal_missed
from ..governance.trust.proposals import Proposals
from ..runtime.boundary.trust import verified
from .changes import record_change

if TYPE_CHECKING:
    from .base import AppBase

__all__ = ["AppTrust"]


class AppTrust:
    """`app.trust`. An *action* is a tool that changes something, by its name; `*` is all of them."""

    def __init__(self, app: AppBase, settings: TrustSettings | None) -> None:
        """`settings`: None, and only the agents have rings that say so themselves."""
        self._app = app
        self.given = settings
        """the table `[trust]`; None: there is none"""
        self._kept: Trust | None = None
        self._made_of: tuple[Any, ...] = ()

    @property
    def settings(self) -> TrustSettings:
        """The table `[trust]`."""
        return self.given or TrustSettings()

    @property
    def enabled(self) -> bool:
        """Whether anybody has a ring here; else nothing is looked up, and all is as if there were none."""
        return self.given is not None or any(agent.rings for agent in self._app.agents.values())

    @property
    def kept(self) -> Trust:
        """The records of the store."""
        made_of = self._app.store, self.given, self._app.approval_settings
        if self._kept is None or any(a is not b for a, b in zip(self._made_of, made_of, strict=True)):
            self._kept, self._made_of = Trust(made_of[0], self.settings, made_of[2]), made_of
        return self._kept

    def looked_at(self) -> Trust | None:
        """The same for workers; None: nobody has a ring."""
        return self.kept if self.enabled else None

    def start(self, agent: str, action: str) -> Ring:
        """The ring in which an agent begins: as it says itself (the version registered last), else the settings."""
        found = [made for (name, _), made in self._app.agents.items() if name == agent]
        said = found[-1].starts_in(action) if found else None
        return self.settings.ring if said is None else said

    # looking ---------------------------------------------------------------------------------------------------

    async def ring(self, agent: str, action: str, *, tenant: str | None = None) -> TrustStanding:
        """Where an agent stands with an action, and the records that led there. Raises `StoreError`."""
        await self._app.open()
        start = self.start(agent, action)
        found = await self.kept.ring(self._tenant(tenant), agent, action, start=start)
        if action != ANY_ACTION:
            return found
        return replace(found, start=start, ring=start.narrowed_to(found.ring))  # of those that are not named

    async def rings(
        self, agent: str, actions: Iterable[str], *, tenant: str | None = None
    ) -> Mapping[str, Ring]:
        """How far an agent goes by itself with several actions; nothing where nobody has a ring. Raises `StoreError`.

        Who is to verify what they did, with a tool that has no `check`, asks before, as in each call.
        """
        await self._app.open()
        if not self.enabled:
            return {}
        starts = {action: self.start(agent, action) for action in actions}
        found = await self.kept.rings(self._tenant(tenant), agent, starts)
        tools = self._app.tools
        return {name: verified(ring, tools[name]) if name in tools else ring for name, ring in found.items()}

    async def ls(self, agent: str | None = None, *, tenant: str | None = None) -> list[TrustStanding]:
        """How all agents stand with their actions: those that begin in a ring, and those with records."""
        await self._app.open()
        whose = self._tenant(tenant)
        pairs = dict.fromkeys(await self.kept.known(whose, agent))
        for (name, _), made in self._app.agents.items():
            if agent in (None, name):
                rings = made.rings or ({ANY_ACTION: self.settings.ring} if self.given else {})
                pairs.update(dict.fromkeys((name, action) for action in rings))
        return [await self.ring(*pair, tenant=whose) for pair in sorted(pairs)]

    async def evidence(
        self, agent: str, action: str, *, since: int | None = None, tenant: str | None = None
    ) -> Evidence:
        """What the journals say for a wider ring: of the runs since the last change, or since then (microseconds).

        The runs of `*` are all in which any action was done.
        """
        standing = await self.ring(agent, action, tenant=tenant)
        if since is None and standing.last is not None:
            since = standing.last.at
        return await gathered(self._app.store, self._tenant(tenant), agent, action, since=since)

    # changing --------------------------------------------------------------------------------------------------

    async def narrow(
        self,
        agent: str,
        action: str = ANY_ACTION,
        *,
        reason: str,
        by: str,
        to: Ring | str | None = None,
        cause: str | None = None,
        tenant: str | None = None,
    ) -> TrustRecord | None:
        """Narrow a ring, to `to` or by one: for every call that begins once this has returned, on every worker.

        It takes no signature. What narrows by itself gives a `cause` (`RUN/STEP`, say), and does it once for each.
        None: it was as narrow already, or had been narrowed for that cause. Raises `ConfigError` where nobody looks
        at rings here.
        """
        if not self.enabled:
            raise ConfigError(
                "nobody looks at trust rings here: give an agent `ring=`, or write the table `[trust]`; "
                "`app.revoke` stops an agent in any case"
            )
        await self._app.open()
        wanted = None if to is None else ring_of(to, what="`to`")
        if (
            wanted is None and action == ANY_ACTION
        ):  # narrower than the widest of its actions, or nothing comes of it
            standings = [
                await self.ring(agent, ANY_ACTION, tenant=tenant),
                *await self.ls(agent, tenant=tenant),
            ]
            wanted = max((s.ring for s in standings), key=lambda ring: ring.width).narrower()
        made = await self.kept.narrow(
            self._tenant(tenant),
            agent,
            action,
            reason=reason,
            by=by,
            start=self.start(agent, action),
            to=wanted,
            cause=cause,
        )
        await self._tell("trust_narrow", made)
        return made

    async def goal_missed(self, ref: RunRef, *, by: str) -> list[TrustRecord]:
        """Narrow the rings of what a run did, as somebody says that it missed its goal; `app.outcome` calls it."""
        record = await self._app.store.get(ref)
        if record is None:
            return []
        here = any(name == record.agent for name, _ in self._app.agents)
        made = await goal_missed(
            self.kept,
            ref,
            record.rid,
            record.agent,
            start=lambda action: self.start(record.agent, action) if here else None,
            reason="its goal was not met",
            by=by,
        )
        await self._tell("trust_narrow", *made)
        return made

    async def propose(
        self,
        agent: str,
        action: str,
        ring: Ring | str,
        *,
        by: str,
        reason: str = "",
        since: int | None = None,
        tenant: str | None = None,
    ) -> TrustChange:
        """Propose a wider ring, with the evidence of the journals: what a person is to sign.

        It stands in place of what was proposed before. Raises `TrustRefused` where the ring is no wider than the one
        that holds, where too little speaks for it (`[trust.needed]`), or the tool has no `check` by which it would
        verify what it did.
        """
        wanted = ring_of(ring, what="`ring`")
        await self._app.open()
        start = self.start(agent, action)
        standing = await self.kept.ring(self._tenant(tenant), agent, action, start=start)
        where = f"the ring of `{agent}` for `{action}` is `{standing.ring}`"
        if not wanted.wider_than(standing.ring):
            raise TrustRefused(
                f"{where}, and `{wanted}` is no wider ring: `app.trust.narrow` makes it narrower"
            )
        if wanted is Ring.NONE and standing.start is not Ring.NONE:
            raise TrustRefused(
                f"{where}: an agent that began in a ring keeps one; the widest is `{RINGS[-1]}`"
            )
        if standing.capped is not None:
            raise TrustRefused(
                f"{where}, as all of the agent was narrowed: propose a wider ring for `*` first"
            )
        tool = self._app.tools.get(action)
        if wanted is Ring.ACT_AND_VERIFY and tool is not None and tool.terms.check is None:
            raise TrustRefused(f"{where}: tool `{action}` has no `check=`, so it verifies nothing")
        found = await self.evidence(agent, action, since=since, tenant=tenant)
        needed = self.settings.needed.get(wanted, 0.0)
        if found.rate < needed:
            raise TrustRefused(
                f"{where}: {found.runs} runs with {found.failures} failures make sure of a success rate of "
                f"{found.rate:.1%}, and `{wanted}` needs {needed:.0%}: {runs_needed(needed)} without a failure would "
                "do, each with an outcome, a check, or a person's answer"
            )
        change = TrustChange(
            tenant=standing.tenant,
            agent=agent,
            action=action,
            seq=standing.seq + 1,
            prev=standing.hash,
            before=standing.ring,
            ring=wanted,
            evidence=found.told(),
            proposed_by=by,
            reason=reason[:1000],
        )
        await Proposals(self._app.store).keep(change)
        return change

    async def proposed(
        self, agent: str | None = None, action: str | None = None, *, tenant: str | None = None
    ) -> list[TrustChange]:
        """What waits for a signature."""
        await self._app.open()
        found = await Proposals(self._app.store).ls(self._tenant(tenant))
        return [c for c in found if agent in (None, c.agent) and action in (None, c.action)]

    async def sign(
        self, agent: str, action: str, *, by: str, proof: str, tenant: str | None = None
    ) -> TrustRecord:
        """Make the change that was proposed, under the signature of `by`: `sign_change` makes it.

        Raises `TrustRefused` where nothing is proposed, the ring was changed since, or the signature does not count.
        """
        await self._app.open()
        whose = self._tenant(tenant)
        proposals = Proposals(self._app.store)
        change = await proposals.find(whose, agent, action)
        if change is None:
            raise TrustRefused(
                f"no wider ring is proposed for `{agent}` and `{action}`: `perdure trust propose` does that"
            )
        made = await self.kept.widen(change, proof, by=by, start=self.start(agent, action))
        await proposals.drop(whose, agent, action)
        await self._tell("trust_widen", made)
        return made

    async def _tell(self, what: str, *made: TrustRecord | None) -> None:
        for record in made:
            if record is not None:
                name = f"trust-{record.hash[:32]}"
                told = {**record.told(), "hash": record.hash}
                await record_change(
                    self._app.store, record.tenant, what, told, by=record.by, at=record.at, name=name
                )

    def _tenant(self, tenant: str | None) -> str:
        return self._app.tenant if tenant is None else check_id(tenant, what="a tenant")
