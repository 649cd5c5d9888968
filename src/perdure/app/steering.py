"""Steering runs from outside: messages into their inboxes, and what is made of such messages."""

from __future__ import annotations

from typing import Any

import pydantic_core

from ..core.codec import arguments_bytes
from ..core.errors import ConfigError, UnknownRun
from ..core.ids import check_id, new_id
from ..journal import Post, RunStatus
from ..runtime import end_claimed
from .base import AppBase
from .handle import Handle

__all__ = ["Steering"]


class Steering(AppBase):
    """The part of `App` that steers runs."""

    async def handle(self, run_id: str, *, tenant: str | None = None) -> Handle:
        """A handle on a run that was started before. Raises `UnknownRun`."""
        await self.open()
        ref = self.ref(run_id, tenant)
        record = await self.store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
        return Handle(self, ref, self.agents.get((record.agent, record.version)))

    async def signal(
        self,
        run_id: str,
        name: str,
        payload: Any = None,
        *,
        message_id: str | None = None,
        sender: str = "app",
        tenant: str | None = None,
    ) -> bool:
        """Send a run a signal, for its `run.receive(name)`. False where `message_id` was sent before.

        Raises `UnknownRun`, and `RunEnded` where the run has ended.
        """
        body = arguments_bytes(payload)[1:-1]
        return await self.post(run_id, "signal", name, body, message_id, sender, tenant)

    async def cancel(
        self,
        run_id: str,
        *,
        reason: str = "",
        by: str = "operator",
        terminate: bool = False,
        compensate: bool = False,
        tenant: str | None = None,
    ) -> None:
        """Cancel a run: `RunCancelled` at its next step. With `terminate` it ends at once, and its code is not asked.

        With `compensate` what it has done is undone before it ends, once its own code has left. Raises `UnknownRun`,
        and `RunEnded` where it has ended.
        """
        if terminate and compensate:
            raise ConfigError("`terminate` ends a run at once, so nothing of it can be undone; leave one out")
        told = {"reason": reason, "compensate": True} if compensate else {"reason": reason}
        body = pydantic_core.to_json(told)
        await self.post(run_id, "cancel", "", body, None, by, tenant)
        if terminate:
            claim = await self.store.seize(self.ref(run_id, tenant))
            if claim is not None:
                text = f"terminated by {by}" + (f": {reason}" if reason else "")
                await end_claimed(self.store, claim, status=RunStatus.CANCELLED, reason=text, actor=by)

    async def pause(self, run_id: str, *, by: str = "operator", tenant: str | None = None) -> None:
        """Hold a run at its next step until `resume`."""
        await self.post(run_id, "pause", "", b"null", None, by, tenant)

    async def resume(
        self, run_id: str, *, by: str = "operator", reset: bool = False, tenant: str | None = None
    ) -> None:
        """Let a paused run go on; also makes one that waits look again. `reset` releases one from quarantine."""
        await self.open()
        ref = self.ref(run_id, tenant)
        if reset:
            await self.store.wake(ref, reset=True)
        await self.post(run_id, "resume", "", b"null", None, by, tenant)

    async def post(
        self,
        run_id: str,
        kind: str,
        name: str,
        body: bytes,
        message_id: str | None,
        sender: str,
        tenant: str | None,
    ) -> bool:
        """Put a message of `kind` into a run's inbox. `signal`, `answer` and their kin are made of it."""
        await self.open()
        if message_id is not None:
            check_id(message_id.replace("/", "-").replace(":", "-").replace(" ", "-"), what="a message id")
        post = Post(
            ref=self.ref(run_id, tenant),
            kind=kind,
            name=name,
            id=message_id or new_id(),
            sender=sender,
            body=body,
        )
        return await self.store.post(post)
