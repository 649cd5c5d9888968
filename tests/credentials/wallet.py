"""A keeper of users' credentials, for tests: what the vault does, without its locks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from perdure import App, Credential, Handle, NeedsConnection, Principal, Run, Wanted
from perdure.core.ids import RunRef
from perdure.journal import CellKey, Entry, Kind, Post

ANN = Principal(subject="user:ann", issuer="test")


@dataclass
class Wallet:
    """Grants by provider and user. Who stores one wakes the runs that wait for it."""

    app: App | None = None
    grants: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    version: int = 0
    asked: list[Wanted] = field(default_factory=list[Wanted])

    async def credential(self, wanted: Wanted) -> Credential:
        self.asked.append(wanted)
        secret = self.grants.get((wanted.provider, wanted.subject))
        if secret is None:
            raise NeedsConnection(f"{wanted.subject} has connected no account with {wanted.provider}")
        return Credential(secret, provider=wanted.provider, subject=wanted.subject, version=self.version)

    def keep(self, secret: str, *, provider: str = "github", subject: str = "user:ann") -> None:
        self.version += 1
        self.grants[provider, subject] = secret

    async def connect(self, secret: str, *, provider: str = "github", subject: str = "user:ann") -> int:
        """Keep a grant and wake who waits for it; how many."""
        assert self.app is not None
        self.keep(secret, provider=provider, subject=subject)
        store = self.app.store
        found = await store.cells("wanted_grant", prefix=f"{provider}/{subject}/")
        for key, cell in found:
            told = pydantic_core.from_json(cell.data)
            ref = RunRef(key.tenant, told["run"])
            post = Post(
                ref=ref, kind="connected", name=told["step"], id=f"c{self.version}", sender="test", body=b"{}"
            )
            await store.post(post)
        return len(found)


async def wanted(app: App) -> list[tuple[CellKey, dict[str, Any]]]:
    """What runs wait for."""
    return [(key, pydantic_core.from_json(cell.data)) for key, cell in await app.store.cells("wanted_grant")]


async def until_wanted(app: App) -> dict[str, Any]:
    """What a run waits for, as soon as one does."""
    while True:
        seen = app.store.changes()
        if found := await wanted(app):
            return found[0][1]
        await app.store.changed(seen, within=0.2)


async def until_waiting(run: Handle, app: App, reason: str = "needs_connection") -> None:
    """Return once the run is a row that waits for that."""
    while True:
        seen = app.store.changes()
        record = await run.record()
        if record.status == "waiting" and reason in record.reasons:
            return
        await app.store.changed(seen, within=0.2)


async def verdicts(run: Handle) -> list[dict[str, Any]]:
    """What the stage said, in order."""
    found = [pydantic_core.from_json(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [told for told in found if told["stage"] == "credential"]


def kinds(entries: list[Entry], step: str) -> list[str]:
    return [Kind(e.kind).name.lower() for e in entries if e.key == step]


def issues(app: App, sent: list[str], **terms: Any) -> Any:
    """An agent that opens an issue with the user's own account; `sent` holds the tokens that it was sent with."""
    terms.setdefault("credential", "github")

    @app.tool(**terms)
    async def open_issue(title: str, token: Credential) -> str:
        sent.append(token.reveal())
        return f"{title} by {token.subject}"

    @app.agent("desk")
    async def desk(run: Run, title: str) -> str:
        return await run.call(open_issue, title)

    return desk
