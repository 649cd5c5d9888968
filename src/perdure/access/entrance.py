"""How people come in: by the link of a terminal, or by signing in with their company's provider.

    link      ─► page ─► POST ─────────────────────────────────────────────► session
    provider  ─► POST ─► cell `sign_in` (state, PKCE verifier, nonce) ─► its page ─► callback ─► session
                         └─ bound to this browser by a cookie

The provider's answer counts once, in the browser that asked, for the question that was asked (RFC 9700; OpenID Connect
Core, 3.1.2): `state` finds the cell, the cookie proves the browser, PKCE the asker, `nonce` the token. Where somebody
signs in for one answer, `nonce` is the digest of that answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ..core.access_settings import SignInSettings
from ..core.errors import ConfigError, Forbidden, PrincipalRefused, ProviderRefused, Unauthenticated
from ..core.principal import Principal
from ..core.roles import Role
from ..journal import Amendment, Approval, Cell, CellKey
from ..runtime.approval.proof import answer_statement
from .gates import LINK, AppGate, address_of
from .links import Links
from .people import os_user
from .terminals import Terminals

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..identity.oauth import OAuthClient
    from ..identity.oidc import Users

__all__ = ["Begun", "Come", "Entrance", "Provider", "Said"]

_KIND = "sign_in"
_WITHIN = 600_000_000
"""Microseconds: as long may somebody take at their provider's page."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Where somebody may sign in."""

    name: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Somebody on the way to their provider."""

    url: str
    """to go to"""
    binding: str
    """for a cookie of this browser"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Come:
    """Somebody who is in."""

    cookie: str
    """for the session's cookie"""
    subject: str
    to: str
    """the page to which they wanted"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer that was signed by a sign-in, and sent."""

    run: str
    approved: bool


class Entrance:
    """The ways in, of one server."""

    def __init__(self, gate: AppGate, *, links: Links | None = None) -> None:
        """Without `links` nobody comes in by one."""
        self._gate = gate
        self._app = gate.app
        self._links = links
        self._clients: dict[str, OAuthClient] = {}
        self._users: dict[str, Users] = {}
        self.terminals = Terminals(gate)

    @property
    def providers(self) -> list[Provider]:
        """Where people sign in."""
        return [Provider(name, it.label or name) for name, it in self._gate.settings.sign_in.items()]

    @property
    def takes_links(self) -> bool:
        """Whether a terminal shows a link."""
        return self._links is not None

    # by a link ---------------------------------------------------------------------------------------------------

    async def by_link(self, request: Request, token: str) -> Come:
        """Who reads the terminal is in, as an admin. Raises `Unauthenticated` and `TooManyRequests`."""
        address = address_of(request)
        self._gate.attempts.check(address)
        if self._links is None or not self._links.use(token):
            self._gate.attempts.take(address)
            raise Unauthenticated(
                "the link is used, or too old: start the server again, or have it show another (`perdure serve`)"
            )
        await self._app.open()
        person = os_user(self._app.identity_settings.os_grants)
        return await self._in(request, person, self._app.tenant, frozenset({Role.ADMIN}), how=LINK, to="/")

    # by a provider -----------------------------------------------------------------------------------------------

    async def begin(self, request: Request, name: str, *, to: str = "/") -> Begun:
        """Send somebody to a provider. Raises `Unauthenticated`, `TooManyRequests`, `ProviderError`."""
        nonce = secrets.token_urlsafe(32)
        return await self._begin(
            request, name, "callback", {"nonce": nonce, "to": to if _is_here(to) else "/"}
        )

    async def _begin(
        self, request: Request, name: str, back: str, said: Mapping[str, Any], *, more: str = ""
    ) -> Begun:
        self._gate.attempts.take(address_of(request))
        client = self._client(name)
        begun = await client.authorize(self._back(request, name, back))
        binding = secrets.token_urlsafe(32)
        told = {
            "redirect_uri": begun.redirect_uri,
            "verifier": begun.verifier,
            "scopes": begun.scopes,
            **said,
            "name": name,
            "back": back,
            "binding": _digest(binding),
        }
        await self._app.open()
        key = self._key(begun.state)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            return {key: Cell(pydantic_core.to_json({**told, "until": now + _WITHIN}), now + _WITHIN)}, None

        await self._app.store.amend(Amendment([key], change))
        return Begun(url=f"{begun.url}&nonce={said['nonce']}{more}", binding=binding)

    async def finish(self, request: Request, name: str, *, binding: str | None) -> Come:
        """Somebody comes back. Raises `Unauthenticated`, `Forbidden` (no role here), `ProviderError`."""
        told, token = await self._came_back(request, name, "callback", binding)
        principal = await self._who(name, token, nonce=told["nonce"])
        roles = self._gate.settings.roles_for(name, principal.grants)
        if not roles:
            raise Forbidden(
                f"`{principal.subject}` has no role here: `[access.roles.{name}]` gives roles to groups, and the "
                f"provider names {', '.join(f'`{g}`' for g in sorted(principal.grants)[:20]) or 'none'}"
            )
        return await self._in(
            request, principal, principal.tenant or self._app.tenant, roles, how=name, to=told["to"]
        )

    async def _came_back(
        self, request: Request, name: str, back: str, binding: str | None
    ) -> tuple[dict[str, Any], str]:
        """What was said when it began, and the ID token."""
        await self._app.open()
        state = request.query_params.get("state", "")
        told = await self._taken(state)
        if told is None or (told["name"], told["back"]) != (name, back):
            raise Unauthenticated("this sign-in was not begun here, was used, or took too long: begin anew")
        if binding is None or not hmac.compare_digest(_digest(binding), told["binding"]):
            raise Unauthenticated("this sign-in was begun in another browser: begin anew")
        client = self._client(name)
        begun = client.resumed(
            state=state, **{kept: told[kept] for kept in ("redirect_uri", "verifier", "scopes")}
        )
        tokens = await client.exchange(begun, str(request.url))
        if tokens.id_token is None:
            raise ProviderRefused(f"`{name}` gave no ID token; is that an OpenID Connect provider?")
        return told, tokens.id_token

    # for one answer ----------------------------------------------------------------------------------------------

    @property
    def vouching(self) -> list[Provider]:
        """Where a fresh sign-in counts as the signature of an answer: named in `[approvals.issuers]`, too."""
        issuers = self._app.approval_settings.issuers.values()
        mine = self._gate.settings.sign_in
        return [
            provider
            for provider in self.providers
            if any(
                issuer.url == mine[provider.name].url and mine[provider.name].client_id in issuer.audience
                for issuer in issuers
            )
        ]

    async def begin_answer(
        self,
        request: Request,
        name: str,
        question: Approval,
        *,
        by: str,
        approved: bool,
        reason: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Begun:
        """Send an approver to sign in for one answer: its digest is the `nonce` that their provider signs.

        Raises `Forbidden` where a sign-in there is no signature, and `ProviderError`.
        """
        if name not in {provider.name for provider in self.vouching}:
            raise Forbidden(
                f"a sign-in with `{name[:40]}` does not count as a signature (`[approvals.issuers]`)"
            )
        iat = self._app.store.now() // 1_000_000
        said = answer_statement(
            question, by=by, approved=approved, reason=reason, arguments=arguments, iat=iat, kid=None
        )
        answer = {
            "approved": approved,
            "by": by,
            "reason": reason,
            "digest": question.digest,
            "arguments": None if arguments is None else dict(arguments),
        }
        told = {
            "nonce": said.hash,
            "iat": iat,
            "tenant": question.ref.tenant,
            "run": question.ref.id,
            "step": question.step,
            "answer": answer,
        }
        return await self._begin(request, name, "answer", told, more="&max_age=0")

    async def finish_answer(self, request: Request, name: str, *, binding: str | None) -> Said:
        """They come back: the answer is sent, signed by that sign-in.

        Raises `Unauthenticated`, `AnswerRefused`, `UnknownStep` (answered meanwhile), `ProviderError`.
        """
        told, token = await self._came_back(request, name, "answer", binding)
        proof = {"token": token, "iat": told["iat"]}
        answer: dict[str, Any] = told["answer"]
        await self._app.answer(told["run"], told["step"], tenant=told["tenant"], proof=proof, **answer)
        return Said(run=told["run"], approved=answer["approved"])

    async def _who(self, name: str, id_token: str, *, nonce: str) -> Principal:
        from ..identity.oidc import Users
        from ..identity.signatures import SignedText

        settings = self._settings(name)
        if name not in self._users:
            self._users[name] = Users({name: settings}, tenant=self._app.tenant, clock=self._app.clock)
        try:
            principal = await asyncio.to_thread(self._users[name].verify, id_token)
        except PrincipalRefused as refused:
            raise Unauthenticated(f"the sign-in does not count: {refused}") from None
        claims: Any = pydantic_core.from_json(SignedText.read(id_token.strip()).payload)
        said = cast("dict[str, Any]", claims).get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise Unauthenticated("the sign-in does not count: its token was made for another (`nonce`)")
        # The session says until when: an ID token ends within minutes.
        return replace(principal, expires_at=None, grants_until=None)

    async def let_in(self, request: Request, code: str, verifier: str) -> tuple[str, str]:
        """A terminal's session, and whose it is. Raises `Unauthenticated` and `TooManyRequests`."""
        self._gate.attempts.take(address_of(request))
        return await self.terminals.finish(code, verifier)

    # out ---------------------------------------------------------------------------------------------------------

    async def leave(self, cookie: str | None) -> None:
        """Sign out."""
        if cookie is not None:
            await self._app.open()
            await self._gate.sessions.end(cookie)

    # -------------------------------------------------------------------------------------------------------------

    async def _in(
        self,
        request: Request,
        principal: Principal,
        tenant: str,
        roles: frozenset[Role],
        *,
        how: str,
        to: str,
    ) -> Come:
        agent = request.headers.get("user-agent", "")
        cookie = await self._gate.sessions.begin(principal, tenant=tenant, roles=roles, how=how, agent=agent)
        return Come(cookie=cookie, subject=principal.subject, to=to)

    def _settings(self, name: str) -> SignInSettings:
        found = self._gate.settings.sign_in.get(name)
        if found is None:
            raise Unauthenticated(f"nobody signs in by `{name[:40]}` here")
        return found

    def _client(self, name: str) -> OAuthClient:
        if name not in self._clients:
            try:
                from ..core.provider_settings import ProviderSettings
                from ..identity.oauth import OAuthClient
                from ..identity.sealing import MasterKeys
                from ..vault.secrets import client_secret
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f'a sign-in needs `{error.name}`: `pip install "perdure[serve]"`'
                ) from error
            given = self._settings(name)
            settings = ProviderSettings(
                issuer=given.url,
                client_id=given.client_id,
                client_secret=given.client_secret,
                scopes=given.scopes,
            )
            master = self._app.identity_settings.master_key
            secret = client_secret(name, settings, lambda: MasterKeys.open(master))
            self._clients[name] = OAuthClient(name, settings, secret=secret, clock=self._app.clock)
        return self._clients[name]

    def _back(self, request: Request, name: str, back: str) -> str:
        base = self._gate.settings.url or str(request.base_url).rstrip("/")
        return f"{base}/sign-in/{name}/{back}"

    def _key(self, state: str) -> CellKey:
        return CellKey(self._app.tenant, _KIND, _digest(state))

    async def _taken(self, state: str) -> dict[str, Any] | None:
        key = self._key(state)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            if key not in cells:
                return {}, None
            told: dict[str, Any] = pydantic_core.from_json(cells[key].data)
            return {key: None}, told if now < told["until"] else None

        found: dict[str, Any] | None = await self._app.store.amend(Amendment([key], change))
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_here(path: str) -> bool:
    """Whether it is a page of this server, and not `//example.org`."""
    return (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isprintable()
        and len(path) < 2000
    )
