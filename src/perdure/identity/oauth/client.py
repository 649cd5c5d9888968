"""Perdure as a client of an OAuth server: OAuth 2.1, which is RFC 6749 with PKCE and without what proved unsafe.

authorize ─► the user agrees ─► exchange ─┐
device ─► the user agrees ─► poll ────────┴─► Tokens ─► refresh ... ─► revoke
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import parse_qs, quote_plus, urlsplit

from authlib.oauth2.rfc6749.parameters import (
    prepare_grant_uri,  # pyright: ignore[reportUnknownVariableType]  # its types are not known
)
from authlib.oauth2.rfc7636 import (
    create_s256_code_challenge,  # pyright: ignore[reportUnknownVariableType]  # its types are not known
)

from ...core.clock import Clock, SystemClock
from ...core.errors import ConfigError, ProviderError, ProviderRefused
from ...core.provider_settings import ProviderSettings
from .discovery import TELLS_ITSELF, Endpoints, Guarded, discover, endpoints_in, guarded
from .registration import Identity, register
from .tokens import Tokens
from .web import Reply, Web

__all__ = ["Authorization", "Device", "OAuthClient"]

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
KEEP_SECONDS = 3600.0
SHORTEST_PAUSE = 0.1
"""Between two questions of a device, whatever the provider lets us."""

_grant_uri = cast("Callable[..., str]", prepare_grant_uri)
_challenge = cast("Callable[[str], str]", create_s256_code_challenge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """One user on the way to agree."""

    url: str
    """to be opened in the user's browser"""
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    scopes: tuple[str, ...]
    identity: Identity
    """who Perdure is to the provider"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One user who agrees on another device (RFC 8628)."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    device_code: str = field(repr=False)
    interval: float
    """seconds between two questions"""
    expires_at: int
    """microseconds since the Unix epoch"""
    scopes: tuple[str, ...]
    identity: Identity


class OAuthClient:
    """One provider, as one client of it."""

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        *,
        secret: str | None = None,
        web: Web | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._secret = secret
        self._clock = clock or SystemClock()
        self._web = web or Web(self._clock)
        self._found: dict[str, tuple[float, Endpoints]] = {}
        """by issuer, with when"""

    def __repr__(self) -> str:
        return f"OAuthClient({self.name})"

    # agreeing ----------------------------------------------------------------------------------------------------

    async def authorize(self, redirect_uri: str, scopes: Sequence[str] = ()) -> Authorization:
        """Begin with a user at a browser. Raises `ConfigError` where the provider has no place for that."""
        guard, there = await self._there()
        where = there.authorization_endpoint
        if where is None:
            raise ConfigError(f"provider `{self.name}` has no `authorization_endpoint`; try `--device`")
        asked = tuple(scopes) or self.settings.scopes or (() if guard is None else guard.scopes)
        me = await self._identity(guard, there, redirect_uri, asked)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        more = {**self.settings.parameters, **_resource(me)}
        url = _grant_uri(
            where,
            me.client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=list(asked),
            state=state,
            code_challenge=_challenge(verifier),
            code_challenge_method="S256",
            **more,
        )
        return Authorization(
            url=url, redirect_uri=redirect_uri, state=state, verifier=verifier, scopes=asked, identity=me
        )

    def resumed(
        self, *, redirect_uri: str, state: str, verifier: str, scopes: Sequence[str]
    ) -> Authorization:
        """What was begun before, by what was kept of it: never the client's own secret, which the settings have.

        Raises `ConfigError` where Perdure is no client of the provider's by its settings.
        """
        return Authorization(
            url="",
            redirect_uri=redirect_uri,
            state=state,
            verifier=verifier,
            scopes=tuple(scopes),
            identity=self._own(None),
        )

    async def exchange(self, begun: Authorization, came_to: str) -> Tokens:
        """The tokens of a user who came back to the address `came_to`.

        Raises `ProviderRefused` where they did not agree, or did not come from this provider.
        """
        told = {name: values[0] for name, values in parse_qs(urlsplit(came_to).query).items()}
        if not hmac.compare_digest(told.get("state", "").encode(), begun.state.encode()):
            raise ProviderRefused(
                "who came back is not who was sent: its `state` is another; begin anew", code="bad_state"
            )
        there = await self.endpoints(begun.identity)
        said = told.get("iss")
        # RFC 9207, 2.4: another provider's answer must not be taken for this one's.
        if (there.says_who and said is None) or (said is not None and there.issuer and said != there.issuer):
            raise ProviderRefused(
                f"the answer is from `{str(said)[:200]}`, and not from `{there.issuer}`; begin anew",
                code="bad_issuer",
            )
        if "error" in told:
            raise self._refused(told, "the connection was not made")
        if "code" not in told:
            raise ProviderRefused(
                f"provider `{self.name}` sent no `code`; begin anew", code="invalid_request"
            )
        return await self._tokens(
            {
                "grant_type": "authorization_code",
                "code": told["code"],
                "redirect_uri": begun.redirect_uri,
                "code_verifier": begun.verifier,
                **_resource(begun.identity),
            },
            begun.identity,
            asked=begun.scopes,
        )

    async def device(self, scopes: Sequence[str] = ()) -> Device:
        """Begin with a user who agrees elsewhere. Raises `ConfigError` where the provider has no place for that."""
        guard, there = await self._there()
        where = there.device_authorization_endpoint
        if where is None:
            raise ConfigError(
                f"provider `{self.name}` has no `device_authorization_endpoint`; connect without `--device`"
            )
        asked = tuple(scopes) or self.settings.scopes or (() if guard is None else guard.scopes)
        me = await self._identity(guard, there, None, asked)
        form = {"scope": " ".join(asked)} if asked else {}
        reply = await self._send(where, {**form, **_resource(me)}, me)
        told = self._told(reply, "no device code was given")
        uri = told.get("verification_uri") or told.get("verification_url")  # Google's, from before the RFC
        if not isinstance(uri, str) or not all(
            isinstance(told.get(n), str) for n in ("device_code", "user_code")
        ):
            raise ProviderError(f"provider `{self.name}` answers with no device code; is its address right?")
        complete = told.get("verification_uri_complete")
        return Device(
            user_code=told["user_code"],
            verification_uri=uri,
            verification_uri_complete=complete if isinstance(complete, str) else None,
            device_code=told["device_code"],
            interval=max(SHORTEST_PAUSE, _seconds(told.get("interval"), otherwise=5)),
            expires_at=self._clock.micros() + int(_seconds(told.get("expires_in"), otherwise=900) * 1e6),
            scopes=asked,
            identity=me,
        )

    async def poll(self, begun: Device) -> Tokens | float:
        """The tokens of a user who has agreed; or how many seconds to wait before asking again.

        Raises `ProviderRefused` where they said no, or where it is too late.
        """
        form = {"grant_type": DEVICE_GRANT, "device_code": begun.device_code}
        try:
            return await self._tokens(form, begun.identity, asked=begun.scopes)
        except ProviderRefused as refused:
            if refused.code == "authorization_pending":
                return begun.interval
            if refused.code == "slow_down":
                return begun.interval + 5  # RFC 8628, 3.5
            raise

    # using -------------------------------------------------------------------------------------------------------

    async def refresh(self, tokens: Tokens) -> Tokens:
        """New tokens for old. Raises `ProviderRefused` (`invalid_grant`: the user must connect anew)."""
        if tokens.refresh is None:
            raise ProviderRefused("there is no refresh token", code="invalid_grant")
        me = tokens.client or self._own()
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh, **_resource(me)}
        return await self._tokens(form, me, asked=(), before=tokens)

    async def revoke(self, tokens: Tokens) -> bool:
        """Have the provider forget them (RFC 7009). False: it has no place where that is said."""
        me = tokens.client or self._own()
        where = (await self.endpoints(me)).revocation_endpoint
        if where is None:
            return False
        sent = [("refresh_token", tokens.refresh), ("access_token", tokens.access)]
        for hint, token in sent:  # to take back the first takes the second along, with some providers
            if token is not None:
                reply = await self._send(where, {"token": token, "token_type_hint": hint}, me)
                if reply.status >= 400 and reply.told.get("error") != "unsupported_token_type":
                    raise self._refused(reply.told, "the grant was not taken back", status=reply.status)
        return True

    async def endpoints(self, identity: Identity | None = None) -> Endpoints:
        """Where what is asked for: as the settings say, else as the provider tells of itself (RFC 8414).

        `identity`: of that client's server, whoever else guards the API by now.
        """
        return (await self._there(identity))[1]

    # ---------------------------------------------------------------------------------------------------------------

    async def _there(self, identity: Identity | None = None) -> tuple[Guarded | None, Endpoints]:
        settings, guard = self.settings, None
        issuer = settings.issuer if identity is None or identity.issuer is None else identity.issuer
        if identity is None and settings.protected_resource is not None:
            guard = await guarded(self._web, settings.protected_resource)
            if issuer is not None:
                guard = replace(guard, issuer=issuer)  # the settings say whom to trust
            issuer = guard.issuer
        said: dict[str, Any] = {name: getattr(settings, name, None) for name in TELLS_ITSELF}
        if issuer is None:
            return guard, Endpoints(**said)
        at, found = self._found.get(issuer, (0.0, None))
        if found is None or self._clock.monotonic() - at > KEEP_SECONDS:
            told = await discover(self._web, issuer)
            if told is None:
                raise ProviderError(
                    f"`{issuer}` does not tell of itself; set `token_endpoint` and its kin in [providers.{self.name}]"
                )
            found = endpoints_in(self.name, issuer, told, said)
            self._found[issuer] = self._clock.monotonic(), found
        return guard, found

    def _own(self, guard: Guarded | None = None) -> Identity:
        """The client that was registered by hand. Raises `ConfigError`."""
        settings = self.settings
        if settings.client_id is None:
            raise ConfigError(f"provider `{self.name}` has no `client_id`: connect the account anew")
        resource = settings.resource or (None if guard is None else guard.resource)
        return Identity(
            client_id=settings.client_id,
            secret=self._secret,
            method=settings.method,
            issuer=None if guard is None else guard.issuer,
            resource=resource,
        )

    async def _identity(
        self, guard: Guarded | None, there: Endpoints, redirect_uri: str | None, scopes: Sequence[str]
    ) -> Identity:
        settings = self.settings
        if settings.client_id is not None or guard is None:
            return self._own(guard)
        resource = settings.resource or guard.resource
        if settings.client_metadata is not None and there.reads_metadata:
            return Identity(client_id=settings.client_metadata, issuer=guard.issuer, resource=resource)
        if there.registration_endpoint is None:
            raise ConfigError(
                f"provider `{self.name}`: `{guard.issuer}` has no place where clients register themselves: register "
                f"Perdure there, and set `client_id` in [providers.{self.name}]"
            )
        return await register(
            self._web,
            there.registration_endpoint,
            issuer=guard.issuer,
            resource=resource,
            redirect_uri=redirect_uri,
            scopes=scopes,
        )

    async def _tokens(
        self,
        form: Mapping[str, str],
        me: Identity,
        *,
        asked: Sequence[str],
        before: Tokens | None = None,
    ) -> Tokens:
        where = (await self.endpoints(me)).token_endpoint
        if where is None:
            raise ConfigError(f"provider `{self.name}` has no `token_endpoint`")
        told = self._told(await self._send(where, form, me), "no token was given")
        try:
            tokens = Tokens.of_answer(told, now=self._clock.micros(), asked=asked, before=before)
        except (ValueError, TypeError) as error:
            raise ProviderError(f"the answer of provider `{self.name}` cannot be used: {error}") from None
        return tokens if me.issuer is None else replace(tokens, client=me)

    async def _send(self, where: str, form: Mapping[str, str], me: Identity) -> Reply:
        headers: dict[str, str] = {}
        if me.method == "client_secret_basic":
            # Each half encoded as in a form first (RFC 6749, 2.3.1).
            both = f"{quote_plus(me.client_id)}:{quote_plus(me.secret or '')}"
            headers["Authorization"] = f"Basic {b64encode(both.encode()).decode()}"
        else:
            form = {**form, "client_id": me.client_id}
            if me.method == "client_secret_post":
                form["client_secret"] = me.secret or ""
        reply = await self._web.post(where, form, headers)
        if "error_description" not in reply.told:
            return reply
        said = str(reply.told["error_description"])
        for value in (*form.values(), me.secret):  # some say what they did not like
            if value and len(value) > 7:
                said = said.replace(value, "***")
        return Reply(reply.status, {**reply.told, "error_description": said})

    def _told(self, reply: Reply, what: str) -> Mapping[str, Any]:
        if reply.status >= 300 or "error" in reply.told:  # GitHub says errors with status 200
            raise self._refused(reply.told, what, status=reply.status)
        return reply.told

    def _refused(self, told: Mapping[str, Any], what: str, *, status: int | None = None) -> ProviderRefused:
        code = str(told.get("error", "") or f"status {status}")[:100]
        more = told.get("error_description")
        said = f"{code}: {str(more)[:300]}" if more else code
        return ProviderRefused(f"provider `{self.name}` says `{said}`: {what}", code=code)


def _resource(me: Identity) -> dict[str, str]:
    return {} if me.resource is None else {"resource": me.resource}


def _seconds(told: object, *, otherwise: float) -> float:
    try:
        return min(86_400.0, max(0.0, float(str(told))))
    except ValueError:  # whatever a provider says, or nothing
        return otherwise
