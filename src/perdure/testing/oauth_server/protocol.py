# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false
# What is known of authlib's types wants its own base classes, which hold nothing.
"""What OAuth demands of a server, as authlib has it: here is only what it asks of whoever keeps the records."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant

from .records import Client, Code, DeviceCode, Given

__all__ = ["Protocol", "Records"]

METHODS = ["client_secret_basic", "client_secret_post", "none"]


class Records:
    """What is remembered. Used under the server's lock."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.registered: dict[str, Client] = {}
        """clients that have registered themselves"""
        self.user: Any = "ann"
        self.codes: dict[str, Code] = {}
        self.given: list[Given] = []
        self.devices: list[DeviceCode] = []
        self.verification_uri = ""
        self.interval = 5
        self.rotate = True
        self.lifetime = 3600.0
        self.family = 0

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        raise NotImplementedError

    def end_family(self, family: int) -> None:
        """Take back whatever one consent has led to."""
        for given in self.given:
            if given.family == family:
                given.revoked = True


class _Request(OAuth2Request):
    """A request as authlib wants it."""

    def __init__(self, method: str, uri: str, headers: Any, body: str) -> None:
        super().__init__(method, uri, headers=headers)
        self._args = dict(parse_qsl(urlsplit(uri).query))
        self._form = dict(parse_qsl(body))
        self.payload = BasicOAuth2Payload({**self._args, **self._form})

    @property
    def args(self) -> dict[str, str]:
        return self._args

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Pkce(CodeChallenge):
    """OAuth 2.1: of everybody, and by S256."""

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        sent = grant.request.payload.data
        if not sent.get("code_challenge") or sent.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE by S256 is required")
        super().validate_code_challenge(grant, redirect_uri)


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    server: Any

    def save_authorization_code(self, code: str, request: Any) -> None:
        sent = request.payload.data
        self.server.records.codes[code] = Code(
            code=code,
            client_id=request.client.client_id,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope,
            user=request.user,
            code_challenge=sent["code_challenge"],
            code_challenge_method=sent["code_challenge_method"],
        )

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        found = self.server.records.codes.pop(code, None)  # good for one try
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Any) -> None:
        pass

    def authenticate_user(self, authorization_code: Code) -> str:
        self.server.records.family += 1
        self.server.family = self.server.records.family
        return authorization_code.user


class _RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    server: Any

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  # authlib's name
        return self.server.records.rotate

    def authenticate_refresh_token(self, refresh_token: str) -> Given | None:
        records: Records = self.server.records
        found = next((given for given in records.given if given.refresh == refresh_token), None)
        if found is None or found.revoked:
            return None
        if found.spent:  # somebody has a copy: nobody knows who of the two is the user (RFC 9700, 4.14.2)
            records.end_family(found.family)
            return None
        return found

    def authenticate_user(self, refresh_token: Given) -> str:
        self.server.family = refresh_token.family
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: Given) -> None:
        refresh_token.spent = self.server.records.rotate


class _DeviceGrant(DeviceCodeGrant):
    server: Any

    def query_device_credential(self, device_code: str) -> DeviceCode | None:
        return next((d for d in self.server.records.devices if d.device_code == device_code), None)

    def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
        records: Records = self.server.records
        device = next(d for d in records.devices if d.user_code == user_code)
        if device.agreed is None:
            return None
        device.used = True
        records.family += 1
        self.server.family = records.family
        return records.user, device.agreed

    def should_slow_down(self, credential: DeviceCode) -> bool:
        records: Records = self.server.records
        before, credential.asked_at = credential.asked_at, records.now()
        return credential.asked_at - before < records.interval


class _DeviceEndpoint(DeviceAuthorizationEndpoint):
    def get_verification_uri(self) -> str:
        return self.server.records.verification_uri

    def save_device_credential(self, client_id: str, scope: str, data: Any) -> None:
        records: Records = self.server.records
        data["interval"] = records.interval
        device = DeviceCode(
            device_code=data["device_code"],
            user_code=data["user_code"],
            client_id=client_id,
            scope=scope or "",
            ends=records.now() + data["expires_in"],
            now=records.now,
        )
        records.devices.append(device)


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = METHODS
    server: Any

    def query_token(self, token_string: str, token_type_hint: str | None) -> Given | None:
        both = ((given, (given.access, given.refresh)) for given in self.server.records.given)
        return next((given for given, tokens in both if token_string in tokens), None)

    def revoke_token(self, token: Given, request: Any) -> None:
        if request.form["token"] == token.refresh:
            self.server.records.end_family(token.family)
        token.revoked = True


class Protocol(AuthorizationServer):
    """The rules."""

    def __init__(self, records: Records) -> None:
        super().__init__(scopes_supported=list(records.client.scopes))
        self.records = records
        self.family = 0
        self.register_grant(_CodeGrant, [_Pkce(required=True)])
        self.register_grant(_RefreshGrant)
        self.register_grant(_DeviceGrant)
        self.register_endpoint(_DeviceEndpoint)  # pyright: ignore[reportArgumentType]  # authlib's own does not fit
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: str) -> Client | None:
        """The one client, or one that has registered itself."""
        if client_id == self.records.client.client_id:
            return self.records.client
        return self.records.registered.get(client_id)

    def generate_token(
        self,
        grant_type: str,
        client: Any,
        user: Any = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """New tokens, that nobody can guess."""
        told = {
            "token_type": "Bearer",
            "access_token": f"access-{secrets.token_urlsafe(24)}",
            "expires_in": self.records.lifetime,
            "scope": scope or "",
        }
        if include_refresh_token:
            told["refresh_token"] = f"refresh-{secrets.token_urlsafe(24)}"
        return told

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Remember what was handed out."""
        self.records.given.append(
            Given(
                access=token["access_token"],
                refresh=token.get("refresh_token"),
                client_id=request.client.client_id,
                user=request.user,
                scope=token["scope"],
                family=self.family,
                ends=self.records.now() + self.records.lifetime,
            )
        )

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        """From method, address, headers and body."""
        return request if isinstance(request, OAuth2Request) else _Request(*request)

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, dict[str, str]]:
        """As the listener sends it."""
        return status, body, dict(headers)
