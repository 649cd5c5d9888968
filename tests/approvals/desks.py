"""A desk that pays when somebody lets it, for the tests of approvals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from perdure import Agent, App, ApprovalDenied, EffectKey, Handle, Run
from perdure.journal import Approval, Entry, Kind


@dataclass
class Till:
    """What was paid, under which keys; what goes wrong."""

    paid: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    keys: list[str] = field(default_factory=list[str])
    failures: list[Exception] = field(default_factory=list[Exception])

    def pay(self, to: str, amount: int, key: str) -> str:
        self.keys.append(key)
        if self.failures:
            raise self.failures.pop(0)
        self.paid.append((to, amount))
        return f"paid {amount} to {to}"


def desk(app: App, till: Till, needs_approval: Any = True, *, effect: Any = "write", **terms: Any) -> Agent:
    @app.tool(effect=effect, needs_approval=needs_approval, **terms)
    def pay(to: str, amount: int, key: EffectKey) -> str:
        return till.pay(to, amount, key)

    @app.agent("desk")
    async def desk(run: Run, amounts: list[int]) -> list[str]:
        said: list[str] = []
        for amount in amounts:
            try:
                said.append(await run.call(pay, "Ada", amount))
            except ApprovalDenied as denied:
                said.append(str(denied))
        return said

    return desk


async def opened(app: App, run: Handle, step: str | None = None, *, but: str = "") -> Approval:
    """The question of the run, once it stands open; not the one of digest `but`."""
    while True:
        seen = app.store.changes()
        for approval in await app.store.approvals(ref=run.ref):
            if (step is None or approval.step == step) and (not but or digest(approval) != but):
                return approval
        await app.store.changed(seen, within=1.0)


def shown(approval: Approval) -> dict[str, Any]:
    return pydantic_core.from_json(approval.show)


def digest(approval: Approval) -> str:
    return shown(approval).get("digest", "")


async def approve(app: App, run: Handle, *, by: str = "boss", **more: Any) -> Approval:
    """Say yes to what is open, as it was shown."""
    asked = await opened(app, run, but=more.pop("but", ""))
    given = {"digest": digest(asked), **more}
    assert await app.answer(run.id, asked.step, approved=True, by=by, tenant=run.ref.tenant, **given)
    return asked


async def until_entry(app: App, run: Handle, so: Callable[[Entry, dict[str, Any]], bool]) -> dict[str, Any]:
    """The payload of the first entry that is so."""
    while True:
        seen = app.store.changes()
        for entry in await run.entries():
            told = pydantic_core.from_json(entry.payload) if entry.payload else {}
            if so(entry, told):
                return told
        await app.store.changed(seen, within=0.2)


def verdict(kind: str) -> Callable[[Entry, dict[str, Any]], bool]:
    return lambda entry, told: entry.kind == Kind.VERDICT and told["verdict"] == kind


async def trail(run: Handle, step: str) -> list[str]:
    found: list[str] = []
    for e in await run.entries():
        if e.key == step:
            told = pydantic_core.from_json(e.payload)
            found.append(told["verdict"] if e.kind == Kind.VERDICT else Kind(e.kind).name.lower())
    return found
