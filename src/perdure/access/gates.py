"""The gate of a server: whatever a request shows, and who that is.

    Authorization: Bearer pdk_…       an API key                               via key:ID
    Authorization: Bearer pds_…       a session of a terminal (`perdure login`)   via session:ID
    Authorization: Bearer JWT         a token of [identity.issuers.NAME]       via token:NAME
    Authorization: DPoP JWT           the same, with a proof of possession     via token:NAME
    Cookie: perdure_session           a session                                via session:ID

Exactly one of them counts: a request that shows two is refused, as nobody can say who it is. Whoever was revoked
(`perdure identity revoke --user`) is not let in, whatever they show.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.access_settings import AccessSettings
from ..core.clock import to_micros
from ..core.errors import ConfigError, Forbidden, PrincipalRefused, Unauthenticated
from ..core.principal import Principal
from ..core.roles import Role
from ..governance import Revocations, Who
from .callers import Caller
from .cookies import session_of
from .keys import PREFIX, ApiKeys
from .origins import check_origin
from .rates import Buckets
from .sessions import TERMINAL, Session, Sessions

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..app import App
    from ..identity.possession import Possession

__all__ = ["LINK", "AppGate", "address_of"]

log = logging.getLogger("perdure.access")

LINK = "link"
"""How a session of whoever reads the terminal began."""
_SEEN = "perdure.caller"

_OF_PEOPLE = frozenset({Role.APPROVER, Role.POLICY_EDITOR, Role.ADMIN})
"""Roles of a person that nobody has who holds a token of theirs."""


class AppGate:
    """Knows who asks an app. Implements `Gate`; belongs to one loop."""

    def __init__(self, app: App) -> None:
        """Raises `ConfigError` where `[access]` says what cannot be."""
        self.app = app
        self.settings: AccessSettings = app.access_settings
        try:
            self.settings.stand_beside(app.identity_settings)
        except ValueError as error:
            raise ConfigError(f"[access]: {error}") from None
        self.sessions = Sessions(app.store, idle=self.settings.idle, longest=self.settings.longest)
        self.keys = ApiKeys(app.store)
        self._rate = Buckets(self.settings.rate, clock=app.clock)
        self.attempts = Buckets(self.settings.sign_ins, clock=app.clock)
        """of signing in, and with keys and tokens that were refused: by address"""
        self._revocations: Revocations | None = None
        self._possession: Possession | None = None

    async def caller_of(self, request: Request) -> Caller:
        """Who asks. Raises `Unauthenticated`, `Forbidden` and `TooManyRequests`."""
        seen = request.scope.get(_SEEN)
        if isinstance(seen, Caller):  # one request is counted once, however many parts of it ask
            return seen
        await self.app.open()
        caller = await self._found(request)
        self._rate.take(f"{caller.tenant}\0{caller.subject}\0{caller.via}")
        await self._not_revoked(caller)
        request.scope[_SEEN] = caller
        return caller

    async def _found(self, request: Request) -> Caller:
        given, cookie = request.headers.getlist("authorization"), session_of(request)
        if not given and cookie is None:
            raise Unauthenticated("sign in, or show an API key or a token: `Authorization: Bearer …`")
        if len(given) > 1 or (given and cookie is not None):
            raise Unauthenticated(
                "the request shows a session and a key, or two keys: it is not known who asks"
            )
        address = address_of(request)
        if cookie is not None:
            session = await self.session(cookie)
            check_origin(request, request.method)
            return self._signed_in(session, proved_at=session.began_at)
        self.attempts.check(address)
        try:
            return await self._shown(request, given[0])
        except Unauthenticated:
            self.attempts.take(address)  # who shows what is good is never held up by this
            raise

    async def session(self, cookie: str) -> Session:
        """That of a browser. Raises `Unauthenticated` where it has ended."""
        found = None
        if not cookie.startswith(TERMINAL):
            found = await self.sessions.find(cookie, now=self.app.store.now())
        if found is None:
            raise Unauthenticated("the session has ended: sign in again")
        return found

    def _signed_in(self, session: Session, *, proved_at: int | None = None) -> Caller:
        who, roles = session.principal, session.roles
        if session.how != LINK:  # as the settings say now, and not as they said then
            issuer = self.settings.sign_in.get(session.how)
            if issuer is None:
                raise Unauthenticated(f"nobody signs in by `{session.how}` any more: sign in again")
            roles = self.settings.roles_for(session.how, who.grants)
            if issuer.grants_last is not None:
                who = replace(who, grants_until=self.app.store.now() + to_micros(issuer.grants_last))
        return Caller(
            principal=who,
            tenant=session.tenant,
            roles=roles,
            via=f"session:{session.id}",
            proved_at=proved_at,
        )

    async def _shown(self, request: Request, authorization: str) -> Caller:
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() == "bearer" and text.startswith(PREFIX):
            key = await self.keys.find(text, now=self.app.store.now())
            if key is None:
                raise Unauthenticated("the API key is wrong, has expired, or was revoked")
            return Caller(principal=key.principal, tenant=key.tenant, roles=key.roles, via=f"key:{key.id}")
        if scheme.lower() == "bearer" and text.startswith(TERMINAL):
            session = await self.sessions.find(text, now=self.app.store.now())
            if session is None:
                raise Unauthenticated("the terminal's session has ended: `perdure login` again")
            return self._signed_in(session)
        if scheme.lower() not in ("bearer", "dpop") or not text:
            raise Unauthenticated("`Authorization` is `Bearer` and a key or token, or `DPoP` and a token")
        if not self.app.identity_settings.issuers:
            raise Unauthenticated(
                "no issuer of tokens is trusted here: show an API key (`perdure keys create`)"
            )
        proofs = request.headers.getlist("dpop")
        if scheme.lower() == "dpop" and len(proofs) != 1:
            raise Unauthenticated("the proof of possession is missing", challenge="DPoP")
        try:
            principal = await asyncio.to_thread(
                self._verified, text, proofs[0] if scheme.lower() == "dpop" else None, request
            )
        except PrincipalRefused as refused:
            raise Unauthenticated(str(refused), challenge='Bearer error="invalid_token"') from None
        name = self.app.users.name_of(principal.issuer) or ""
        if scheme.lower() == "bearer" and name in self.settings.proof:
            raise Unauthenticated(
                f"a token of `{name}` counts with a proof of possession only", challenge='DPoP algs="ES256"'
            )
        roles = self.settings.roles_for(name, principal.grants)
        if "act" in claims_of(
            text
        ):  # RFC 8693: somebody else acts for the user, and decides nothing for them
            roles -= _OF_PEOPLE
        return Caller(
            principal=principal,
            tenant=principal.tenant or self.app.tenant,
            roles=roles,
            via=f"token:{name}",
        )

    def _verified(self, token: str, proof: str | None, request: Request) -> Principal:
        from ..identity.possession import NotAuthorised, Possession

        if proof is None:
            return self.app.users.verify(token)
        if self._possession is None:
            self._possession = Possession(now=lambda: self.app.clock.micros() / 1e6)
        possession = self._possession

        def proven(key: str) -> None:
            possession.check(token, proof, method=request.method, url=self._url(request), key=key)

        try:
            return self.app.users.verify(token, proven=proven)
        except NotAuthorised as refused:
            raise Unauthenticated(str(refused), challenge=refused.challenge) from None

    def _url(self, request: Request) -> str:
        """As the sender calls it: behind a proxy the address under which the server is known."""
        if self.settings.url is None:
            return str(request.url)
        path = request.url.path
        return f"{self.settings.url}{path}"

    async def _not_revoked(self, caller: Caller) -> None:
        if self._revocations is None:
            self._revocations = self.app.revocations
        who = Who("user", caller.subject)
        seen = self._revocations.lately(caller.tenant) or await self._revocations.look(caller.tenant)
        found = seen.first([who])
        if found is None and not seen.whole:
            found = await self._revocations.one_by_one(caller.tenant, [who])
        if found is not None:
            log.warning("%s was revoked and asks again", caller.subject, extra={"tenant": caller.tenant})
            raise Forbidden(f"`{caller.subject}` was revoked by `{found.by}`: an admin can restore it")


def claims_of(token: str) -> Mapping[str, Any]:
    """Those of a token that was verified."""
    from ..identity.signatures import SignedText

    return pydantic_core.from_json(SignedText.read(token).payload)


def address_of(request: Request) -> str:
    """From where a request comes, as far as the server itself sees; uvicorn puts in what trusted proxies say."""
    return "" if request.client is None else request.client.host
