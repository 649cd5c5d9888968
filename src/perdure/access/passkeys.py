"""The two ceremonies of passkeys: to register one, and to confirm an answer with it.

    register   signed in a moment ago ─► options (challenge, in a cell) ─► browser ─► key, in a cell `passkey`
    confirm    the answer as it will be sent ─► its digest is the challenge ─► browser ─► `proof` of `App.answer`

To confirm needs no state here: the challenge *is* the answer. Who asks for one sees what they would sign beforehand,
and the run compares all of it again.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.approval_settings import PasskeySettings
from ..core.errors import ConfigError, Forbidden, Unauthenticated
from ..core.people import is_agent
from ..governance.passkeys import Passkey, Passkeys
from ..journal import Amendment, Approval, Cell, CellKey
from ..runtime.approval.proof import answer_statement
from .callers import Caller

if TYPE_CHECKING:
    from ..app import App

__all__ = ["Ceremonies", "Confirmation"]

_KIND = "passkey_begun"
_WITHIN = 300_000_000
"""Microseconds: as long may somebody look for their device."""
FRESH = 900_000_000
"""Microseconds: whoever registers a passkey has signed in within this time. A stolen session makes none."""
_MILLISECONDS = 300_000


class Confirmation(dict[str, Any]):
    """For `navigator.credentials.get`, as JSON, and beside it the `iat` that goes into the proof."""


class Ceremonies:
    """Passkeys at one server."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.passkeys = Passkeys(app.store)

    @property
    def settings(self) -> PasskeySettings | None:
        """For which host; None: there are none."""
        return self._app.approval_settings.passkeys

    # registering -------------------------------------------------------------------------------------------------

    async def begin(self, caller: Caller) -> dict[str, Any]:
        """The options for `navigator.credentials.create`, as JSON. Raises `Forbidden` and `Unauthenticated`."""
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers import base64url_to_bytes
        from webauthn.helpers.cose import COSEAlgorithmIdentifier
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            PublicKeyCredentialDescriptor,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        from ..identity.passkeys import user_handle

        settings = self._for(caller)
        challenge = secrets.token_bytes(32)
        key = _key(caller, challenge)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            told = {"subject": caller.subject, "via": caller.via, "until": now + _WITHIN}
            return {key: Cell(pydantic_core.to_json(told), now + _WITHIN)}, None

        await self._app.store.amend(Amendment([key], change))
        mine = await self.passkeys.ls(tenant=caller.tenant, owner=caller.subject)
        options = generate_registration_options(
            rp_id=settings.host,
            rp_name="Perdure",
            user_name=caller.subject.removeprefix("user:"),
            user_id=user_handle(caller.tenant, caller.subject),
            challenge=challenge,
            timeout=_MILLISECONDS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(p.id)) for p in mine],
            supported_pub_key_algs=[COSEAlgorithmIdentifier.ECDSA_SHA_256],
        )
        found: dict[str, Any] = pydantic_core.from_json(options_to_json(options))
        return found

    async def finish(self, caller: Caller, answer: str, *, note: str = "") -> Passkey:
        """Register what the browser has made. Raises `BadSignature`, `Forbidden`, `UnknownKey`."""
        from ..identity.passkeys import registered

        settings = self._for(caller)
        challenge = _challenge(answer)
        key = _key(caller, challenge)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            if key not in cells:
                return {}, None
            told: dict[str, Any] = pydantic_core.from_json(cells[key].data)
            good = now < told["until"] and (told["subject"], told["via"]) == (caller.subject, caller.via)
            return {key: None}, good

        if not await self._app.store.amend(Amendment([key], change)):
            raise Forbidden("this passkey was not asked for here and now: begin anew")
        id, public = registered(answer, challenge=challenge, settings=settings)
        return await self.passkeys.add(
            id,
            tenant=caller.tenant,
            owner=caller.subject,
            key=public,
            note=note.strip(),
            by=str(caller.principal.issuer),
        )

    def _for(self, caller: Caller) -> PasskeySettings:
        settings = self.settings
        if settings is None:
            raise ConfigError("there are no passkeys here: name the host under `[approvals.passkeys]`")
        if is_agent(caller.subject) or not caller.principal.verified or caller.proved_at is None:
            raise Forbidden("a passkey is of a person who has signed in with a browser")
        if self._app.store.now() - caller.proved_at > FRESH:
            raise Unauthenticated(
                "you signed in a while ago: sign out and in again, then register the passkey"
            )
        return settings

    # confirming --------------------------------------------------------------------------------------------------

    async def confirmation(
        self,
        question: Approval,
        *,
        by: str,
        approved: bool,
        reason: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Confirmation:
        """What a browser needs to have an answer confirmed by a passkey of `by`.

        Send the same answer, and as `proof` what `proof` in `passkeys.js` makes: `{"passkey": {...}, "iat": iat}`.
        Raises `Forbidden` where they have no passkey.
        """
        settings = self.settings
        there = await self.passkeys.ls(tenant=question.ref.tenant, owner=by)
        mine = [passkey for passkey in there if passkey.revoked_at is None]
        if settings is None or not mine:
            raise Forbidden(f"`{by}` has registered no passkey: sign in, and register one")
        iat = self._app.store.now() // 1_000_000
        said = answer_statement(
            question, by=by, approved=approved, reason=reason, arguments=arguments, iat=iat, kid=None
        )
        return Confirmation(
            iat=iat,
            publicKey={
                "challenge": _letters(bytes.fromhex(said.hash)),
                "rpId": settings.host,
                "allowCredentials": [{"type": "public-key", "id": passkey.id} for passkey in mine],
                "userVerification": "required",
                "timeout": _MILLISECONDS,
            },
        )


def _challenge(answer: str) -> bytes:
    """The challenge that a browser says it has answered; whether it did is looked at later."""
    try:
        told: Any = pydantic_core.from_json(answer[:65_536])
        data: Any = pydantic_core.from_json(_bytes(told["response"]["clientDataJSON"]))
        return _bytes(data["challenge"])
    except (ValueError, TypeError, KeyError):
        raise Forbidden("what the browser sent of the passkey cannot be read: begin anew") from None


def _key(caller: Caller, challenge: bytes) -> CellKey:
    return CellKey(caller.tenant, _KIND, hashlib.sha256(challenge).hexdigest())


def _bytes(letters: str) -> bytes:
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
