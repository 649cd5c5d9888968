"""Webhooks to others: what happens, from a cursor of the audit log on, each fact at least once and in order.

    feed of facts ─► those that are asked for ─► POST, signed ─► 2xx: the cursor goes on
                                                        └─► else: the same again, later and later

The cursor stands in a cell, and moves once a receiver has taken a fact: whoever dies before that sends it again, under
the same `webhook-id`. One server at a time sends to a receiver; a lease says which. A receiver that is gone holds back
its own facts, and nobody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from fnmatch import fnmatchcase
from typing import Any

import httpx2
import pydantic_core

from ..app import App
from ..audit.fact import Fact
from ..audit.follower import Follower
from ..core.errors import StoreError
from ..core.hook_settings import WebhookSettings
from ..core.ids import new_id
from ..core.webhooks import signature
from ..journal import CellKey
from ..views.facts import facts_after, newest

__all__ = ["Webhooks"]

log = logging.getLogger("perdure.server")

KIND = "webhook"
LOOK_SECONDS = 0.5
SEND_SECONDS = 15.0
LEASE_MICROS = 60_000_000
"""Longer than a delivery takes: then another server sends."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds before the same is sent again: doubled from the one to the other."""
KEEP_EVERY = 200
"""Facts that nobody asked for, after which the cursor is kept all the same."""


class Webhooks:
    """Tells others. Give its `run` to whatever goes on beside requests."""

    def __init__(self, app: App, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._app = app
        self._holder = new_id()
        self._transport = transport
        self._done: dict[str, int] = {}
        """the size of the log up to which a receiver was told"""

    def __repr__(self) -> str:
        return "the sending of webhooks"

    async def run(self) -> None:
        """Send what there is, and look again, for as long as the server lives."""
        if not self._app.webhooks:
            return
        async with httpx2.AsyncClient(timeout=SEND_SECONDS, transport=self._transport) as http:
            try:
                while True:
                    seen = self._app.store.changes()
                    await asyncio.gather(*(self._tell(http, n, s) for n, s in self._app.webhooks.items()))
                    await asyncio.sleep(LOOK_SECONDS)
                    await self._app.store.changed(seen, within=LOOK_SECONDS)
            finally:
                await asyncio.gather(*(self._let_go(name) for name in self._app.webhooks))

    async def _tell(self, http: httpx2.AsyncClient, name: str, settings: WebhookSettings) -> None:
        store = self._app.store
        try:
            size = await store.log_size()
            if self._done.get(name) == size and not await store.moved():
                return  # nothing has happened: nothing is written, and nobody else is woken
            # who is told from now on is not told of the years before
            state = await self._follower(name).take({"cursor": await newest(store)})
            if state is not None and await self._send_all(http, name, settings, state):
                self._done[name] = size
        except StoreError as error:
            log.warning("webhook `%s`: %s; trying again later", name, error)

    async def _send_all(
        self, http: httpx2.AsyncClient, name: str, settings: WebhookSettings, state: dict[str, Any]
    ) -> bool:
        """Tell a receiver all that it has not heard. Whether that is all there was."""
        cursor: str = state["cursor"]
        passed = 0
        async for fact, behind in facts_after(self._app.store, self._app.tenant, cursor):
            wanted = fact is not None and any(fnmatchcase(fact.what, e) for e in settings.events)
            problem = await self._sent(http, name, settings, fact) if fact is not None and wanted else None
            if problem is not None:
                failed = int(state.get("failed", 0)) + 1
                pause = min(FIRST_PAUSE * 2 ** min(failed - 1, 20), LONGEST_PAUSE)
                log.warning("webhook `%s` was not taken: %s; again in %.0f s", name, problem, pause)
                told = {"cursor": cursor, "failed": failed, "problem": problem}
                await self._follower(name).keep(told, lease=round(pause * 1e6))
                return False
            passed += 1
            moved, cursor = behind != cursor, behind
            if moved and (wanted or fact is None or passed % KEEP_EVERY == 0):
                state = {"cursor": cursor}
                if not await self._follower(name).keep(state, lease=0 if fact is None else None):
                    return False  # another server has it: this one was held up for longer than the lease
        return True

    async def _sent(
        self, http: httpx2.AsyncClient, name: str, settings: WebhookSettings, fact: Fact
    ) -> str | None:
        """Send one fact; what went wrong."""
        secret = os.environ.get(settings.secret_env)
        if not secret:
            return f"the variable `{settings.secret_env}` is not set"
        told = fact.to_json(contents=settings.contents)
        body = pydantic_core.to_json({"type": fact.what, "timestamp": told["at"], "data": told})
        ident = "msg_" + hashlib.sha256(f"{name}\0{fact.id}".encode()).hexdigest()[:32]
        at = self._app.clock.micros() // 1_000_000
        headers = {
            "content-type": "application/json",
            "webhook-id": ident,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(secret, id=ident, timestamp=at, body=body),
        }
        try:
            answer = await http.post(settings.url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            return f"{type(error).__name__}: {error}"[:300]
        return None if answer.is_success else f"it answers {answer.status_code}"

    def _follower(self, name: str) -> Follower:
        key = CellKey(self._app.tenant, KIND, name)
        return Follower(self._app.store, key, holder=self._holder, lease=LEASE_MICROS)

    async def _let_go(self, name: str) -> None:
        """Leave a receiver to the other servers: they need not wait for the lease's end."""
        try:
            await self._follower(name).release()
        except StoreError as error:
            log.warning("webhook `%s` is held until its lease ends: %s", name, error)
