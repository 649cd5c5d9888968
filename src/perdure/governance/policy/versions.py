"""Policies that change while workers live: which version holds for new runs, by whose change, and since when.

    perdure policy apply ─► the files, under their digest ─► a change, chained and signed ◄── looked at by every worker

What an app was deployed with holds until a change was applied; from then on the last change does, whatever stands in
the folder. A worker takes up a change whose chain is whole, whose signature is good where the settings want one, and
whose policies load. Anything else is told, and what held goes on: a broken set never takes the place of a good one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ...core.approval_settings import ApprovalSettings
from ...core.errors import BadSignature, ConfigError, StoreCorrupt
from ...core.policy_settings import PolicySettings
from ...journal import CellStore
from ..changes import Change, ChangeLog, Signer, vouched_for
from .book import PolicyBook
from .kept import keep, kept
from .schema import ToolForm

__all__ = ["FRESH", "KIND", "PolicyVersions", "Terms", "Versions"]

KIND = "policy_change"
"""of the cells"""
FRESH = 1.0
"""Seconds after which a worker looks again, before it begins a run: so late does a change take hold."""
NONE = ""
"""In place of a digest: nothing runs in shadow."""
log = logging.getLogger("perdure.policy")

What = Literal["policies", "shadow"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an app says of its policies and of who changes them."""

    policies: PolicySettings
    approvals: ApprovalSettings
    forms: Callable[[], tuple[Iterable[str], Iterable[ToolForm]]]
    """its agents and tools"""


@dataclass(slots=True)
class Versions:
    """What holds in a tenant, for runs that begin."""

    book: PolicyBook | None
    shadow: PolicyBook | None
    last: Change | None = None
    """the last change that was looked at"""
    at: float = float("-inf")
    """when that was, on the process's clock"""


class PolicyVersions:
    """The versions of a store, as one process has taken them up. Belongs to one loop."""

    def __init__(
        self,
        store: CellStore,
        terms: Terms,
        *,
        deployed: PolicyBook | None,
        shadow: PolicyBook | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deployed` and `shadow`: what holds as long as nobody has changed it."""
        self._store = store
        self._terms = terms
        self._deployed, self._shadow = deployed, shadow
        self._monotonic = monotonic
        self.changes = ChangeLog(store, KIND)
        self._held: dict[str, Versions] = {}

    async def now(self, tenant: str) -> Versions:
        """What holds for a run that begins. Raises `StoreError` where the store cannot be read."""
        held = self._held.get(tenant)
        if held is None:
            held = self._held[tenant] = Versions(self._deployed, self._shadow)
        if self._monotonic() - held.at >= FRESH:
            await self._look(tenant, held)
        return held

    async def _look(self, tenant: str, held: Versions) -> None:
        began = self._monotonic()
        try:
            found = await self.changes.since(tenant, held.last)
        except StoreCorrupt as error:
            log.error("policies of `%s`: %s; what held goes on", tenant, error)
            held.at = began
            return
        for what in ("policies", "shadow"):
            # The last of each counts, if it is good; else the one before it, as long as one is left.
            for change in reversed([c for c in found if c.draft.what["of"] == what]):
                try:
                    await self._take_up(change, held)
                    break
                except (ConfigError, BadSignature) as error:
                    log.error(
                        "change %d of the policies of `%s` is not taken up, what held goes on: %s",
                        change.draft.seq,
                        tenant,
                        error,
                    )
        held.last = found[-1] if found else held.last
        held.at = began

    async def _take_up(self, change: Change, held: Versions) -> None:
        await self.look_at(change)
        what, digest = change.draft.what["of"], str(change.draft.what["after"])
        book = None if digest == NONE else await self.read(change.draft.tenant, digest)
        if what == "shadow":
            held.shadow = book
        else:
            held.book = book
        log.info("policies of `%s`: %s %s since change %d", change.draft.tenant, what, digest[:12] or "none",
                 change.draft.seq)  # fmt: skip

    async def look_at(self, change: Change) -> str | None:
        """Who has signed a change; None: nobody, and nobody needs to. Raises `BadSignature`."""
        terms = self._terms
        if change.proof is None and not terms.policies.required:
            return None
        who = await vouched_for(change, terms.approvals, self._store)
        if not terms.policies.may_change(who, terms.approvals):
            raise BadSignature(f"`{who}` changes no policies here: `[policies] editors` names those who do")
        return who

    async def read(self, tenant: str, digest: str) -> PolicyBook:
        """A version that was kept, for the app's agents and tools. Raises `ConfigError`."""
        if self._deployed is not None and self._deployed.digest == digest:
            return self._deployed
        files = await kept(self._store, tenant, digest)
        if files is None:
            raise ConfigError(f"version `{digest[:12]}` of the policies is not in the store")
        agents, tools = self._terms.forms()
        return PolicyBook.read(files, digest, agents=agents, tools=tools)

    async def apply(
        self,
        tenant: str,
        book: PolicyBook | None,
        *,
        by: str,
        reason: str,
        of: What = "policies",
        signer: Signer | None = None,
        now: Callable[[], int],
    ) -> Change:
        """Let a version hold for runs that begin from now on; with `of="shadow"`, run beside (None: nothing does).

        `now`: the store's time, microseconds. Raises `ConfigError` where it is what holds already, `BadSignature` where
        a signature is wanted that is not there or not good, and `RunConflict`.
        """
        if not reason.strip():
            raise ConfigError("say why: `--reason`")
        held = await self.now(tenant)
        before = held.shadow if of == "shadow" else held.book
        old, new = (NONE if one is None else one.digest for one in (before, book))
        if old == new:
            raise ConfigError(f"nothing changes: version `{new[:12] or 'none'}` is what holds")
        told: dict[str, Any] = {"of": of, "before": old, "after": new}
        draft = await self.changes.draft(tenant, by=by, reason=reason, what=told)
        at = now()
        proof = None if signer is None else draft.signed(signer, iat=at // 1_000_000)
        await self.look_at(Change(draft=draft, at=at, proof=proof))
        if book is not None:
            await keep(self._store, tenant, book.digest, book.kept())
        made = await self.changes.append(draft, proof)
        held.at = float("-inf")
        return made
