"""Renewing a grant: one request to the provider, however many workers want the new token at once.

    hold the grant (a lease in its cell) ─► ask the provider ─► keep what it says ─► everybody reads it
                     │                            ├─ it says no: the grant is dead
                     └─ another holds it: wait    └─ it cannot be reached: let go

A provider that hands out a new refresh token takes the old one no more. So the request is finished and its answer kept
whatever becomes of the call that wanted it; and whoever was frozen beyond its lease still keeps what it got, unless
somebody has kept something newer.
"""

from __future__ import annotations

import asyncio
import logging

from ..core.clock import Clock
from ..core.errors import ProviderError, ProviderRefused, StoreUnavailable
from ..core.ids import new_id
from ..identity.oauth import OAuthClient, Tokens
from .grants import Grant
from .keeping import Keeping
from .sealed import Place

__all__ = ["LEASE_SECONDS", "Renewal"]

log = logging.getLogger("perdure.vault")

LEASE_SECONDS = 30.0
"""Longer than a request may take (`identity.oauth.web`): who holds a grant is done with it, or dead."""
LOOK_SECONDS = 0.1
"""Between two looks at a grant that another process renews."""

ENDED = frozenset({"invalid_grant", "bad_refresh_token"})
"""What providers say of a grant that is no more; the second is GitHub's."""


class Renewal:
    """What is renewed by one process. Belongs to one loop."""

    def __init__(self, keeping: Keeping, clock: Clock, *, lease: float = LEASE_SECONDS) -> None:
        self._keeping = keeping
        self._clock = clock
        self._lease = lease
        self._holder = f"worker {new_id()[:12]}"
        self._under_way: dict[Place, asyncio.Task[Grant | None]] = {}

    async def renewed(self, grant: Grant, client: OAuthClient) -> Grant | None:
        """What stands after the renewal of a version: newer, dead, or None where it is gone.

        Raises `ProviderUnavailable`, and `ProviderRefused` where it is not the user whom the provider turns away.
        """
        task = self._under_way.get(grant.place)
        if task is None:
            task = asyncio.create_task(self._renew(grant, client), name=f"renew {grant.place.provider}")
            self._under_way[grant.place] = task
            task.add_done_callback(lambda done: self._done(grant.place, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is under way: an answer that is not kept is lost."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))
            await asyncio.sleep(0)

    def _done(self, place: Place, task: asyncio.Task[Grant | None]) -> None:
        self._under_way.pop(place, None)
        if not task.cancelled():
            task.exception()  # whoever wanted it may be gone

    async def _renew(self, grant: Grant, client: OAuthClient) -> Grant | None:
        before = await self._keeping.open(grant)
        while True:
            there = await self._keeping.hold(grant, holder=self._holder, lease=int(self._lease * 1e6))
            if there is None or there.version != grant.version or there.state == "dead":
                return there
            if there.holder == self._holder:
                break
            until = self._clock.micros() + int(LOOK_SECONDS * 1e6)
            await self._clock.wait(asyncio.Event(), until=until)
        try:
            tokens = await client.refresh(before)
        except ProviderRefused as refused:
            if refused.code in ENDED:
                return await self._keeping.let_go(grant, holder=self._holder, dead=str(refused))
            await self._keeping.let_go(grant, holder=self._holder)
            raise
        except BaseException:
            await self._keeping.let_go(grant, holder=self._holder)
            raise
        after = await self._keep(grant, tokens)
        if after is None:  # taken back meanwhile: what the provider has just handed out is nobody's
            try:
                await client.revoke(tokens)
            except ProviderError as error:
                log.warning(
                    "%r was taken back while it was renewed, and the provider was not told: %s", grant, error
                )
        return after

    async def _keep(self, grant: Grant, tokens: Tokens) -> Grant | None:
        """The old token is used up: a store that is away for a moment must not cost the user a new consent."""
        ends = self._clock.monotonic() + self._lease
        pause = LOOK_SECONDS
        while True:
            try:
                return await self._keeping.put(
                    grant.place, tokens, kind=grant.kind, by=grant.by, renewing=grant
                )
            except StoreUnavailable as error:
                if self._clock.monotonic() >= ends:
                    log.error("%r was renewed, and the new token could not be kept: %s", grant, error)
                    raise
            until = self._clock.micros() + int(pause * 1e6)
            await self._clock.wait(asyncio.Event(), until=until)
            pause = min(2.0, pause * 2)
