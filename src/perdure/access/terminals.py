"""A session for a terminal, of somebody who is signed in with a browser: `perdure login`.

    terminal ─► page (SHA-256 of a verifier, a port of this machine) ─► they agree ─► code ─► that port
             ─► code and verifier ─► session, which is shown like a key

The code is good once, for a minute, and only with the verifier that the terminal keeps (PKCE, RFC 7636): whoever sends
somebody to the page gets nothing by it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.errors import Unauthenticated
from ..core.principal import Principal
from ..core.roles import Role
from ..journal import Amendment, Cell, CellKey
from .sessions import Session

if TYPE_CHECKING:
    from .gates import AppGate

__all__ = ["Terminals"]

_KIND = "terminal"
_WITHIN = 60_000_000
"""Microseconds."""


class Terminals:
    """Lets terminals in, at one server."""

    def __init__(self, gate: AppGate) -> None:
        self._gate = gate

    async def begin(self, cookie: str, *, challenge: str, note: str) -> str:
        """The code for a terminal of whoever has that session. Raises `Unauthenticated`."""
        session: Session = await self._gate.session(cookie)
        code = secrets.token_urlsafe(32)
        key = self._key(code)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            told = {
                "principal": session.principal.told(),
                "tenant": session.tenant,
                "roles": sorted(session.roles),
                "how": session.how,
                "challenge": challenge,
                "note": note[:100],
                "until": now + _WITHIN,
            }
            return {key: Cell(pydantic_core.to_json(told), now + _WITHIN)}, None

        await self._gate.app.store.amend(Amendment([key], change))
        return code

    async def finish(self, code: str, verifier: str) -> tuple[str, str]:
        """The terminal's session, and whose it is. Raises `Unauthenticated`."""
        await self._gate.app.open()
        key = self._key(code)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            if key not in cells:
                return {}, None
            told: dict[str, Any] = pydantic_core.from_json(cells[key].data)
            return {key: None}, told if now < told["until"] else None

        told: dict[str, Any] | None = await self._gate.app.store.amend(Amendment([key], change))
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if told is None or not hmac.compare_digest(digest, told["challenge"]):
            raise Unauthenticated(
                "this code was used, is too old, or of another terminal: `perdure login` again"
            )
        who = Principal.read(told["principal"])
        text = await self._gate.sessions.begin(
            who,
            tenant=told["tenant"],
            roles=frozenset(Role(word) for word in told["roles"]),
            how=told["how"],
            agent=f"terminal {told['note']}".strip(),
            terminal=True,
        )
        return text, who.subject

    def _key(self, code: str) -> CellKey:
        return CellKey(self._gate.app.tenant, _KIND, hashlib.sha256(code.encode()).hexdigest())
