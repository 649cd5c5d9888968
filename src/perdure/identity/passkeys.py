"""Passkeys (WebAuthn, level 3): a person's device signs one answer, after it has looked at who holds it.

    statement ─ SHA-256 ─► challenge ─► the device asks for a finger, a face, a PIN ─► assertion ─► proof

A browser lets a page use only passkeys of its own host, and puts the challenge and the page's origin into what is
signed. So an assertion is over this statement, made at our page, by somebody who has unlocked the device; it is good
for no other answer. The key is a point on P-256, as approvers' other keys are: it may stand in `[approvals.keys]` too.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pydantic_core

from ..core.approval_settings import ApprovalSettings, PasskeySettings
from ..core.approver_keys import ApproverKey
from ..core.errors import BadSignature
from ..core.statements import Statement
from .approvals import MOST_BYTES, SKEW_SECONDS, Signed

__all__ = ["asserted", "credential_of", "registered", "user_handle"]

_PARTS = ("id", "authenticatorData", "clientDataJSON", "signature")


def credential_of(proof: Mapping[str, Any]) -> str:
    """The id of the credential that a proof names. Raises `BadSignature` where it cannot be read."""
    return _parts(proof)[0]["id"]


def asserted(
    proof: Mapping[str, Any],
    key: ApproverKey,
    owner: str,
    expected: Statement,
    settings: ApprovalSettings,
    *,
    at: int,
    now: int,
) -> Signed:
    """What a passkey has signed, found good. Raises `BadSignature`, which says why not.

    `proof` has `passkey` (id, authenticatorData, clientDataJSON, signature; Base64url) and the `iat` of the statement.
    `at` is when the answer arrived, `now` when it is looked at; microseconds. Whether the key is revoked, and whose it
    is, is for whoever has the registry.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    parts, iat = _parts(proof)
    places = settings.passkeys
    if places is None:
        raise BadSignature(
            "no passkey counts here: `[approvals.passkeys]` names the host for which they are made"
        )
    said = replace(expected, iat=iat, kid=None)
    credential = {
        "id": parts["id"],
        "rawId": parts["id"],
        "type": "public-key",
        "response": {name: parts[name] for name in _PARTS[1:]},
        "clientExtensionResults": {},
    }
    try:
        verify_authentication_response(
            credential=credential,
            expected_challenge=bytes.fromhex(said.hash),
            expected_rp_id=places.host,
            expected_origin=list(places.places),
            credential_public_key=_cose(key),
            credential_current_sign_count=0,  # passkeys that are synced count nothing
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError) as error:
        raise BadSignature(f"the passkey's assertion does not count: {_plain(error, parts, said)}") from error
    age = at // 1_000_000 - iat
    most = settings.signed_within.total_seconds()
    if age > most:
        raise BadSignature(
            f"the passkey was asked {age} s before the answer arrived, and {most:.0f} s are allowed (`signed_within`): "
            "confirm it again"
        )
    if age < -SKEW_SECONDS:
        raise BadSignature(f"the passkey was asked {-age} s from now: a clock is wrong")
    return Signed(by=owner, key=key.kid, public=key.key, iat=iat, checked_at=now, passkey=parts["id"])


def registered(answer: str, *, challenge: bytes, settings: PasskeySettings) -> tuple[str, ApproverKey]:
    """A new passkey: the id of its credential, and its key. `answer` is JSON, as the browser gives it.

    Raises `BadSignature` where it was not made now, for this host, by somebody who unlocked the device.
    """
    from webauthn import verify_registration_response
    from webauthn.helpers import decode_credential_public_key
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.decode_credential_public_key import DecodedEC2PublicKey
    from webauthn.helpers.exceptions import WebAuthnException

    if len(answer) > MOST_BYTES:
        raise BadSignature("what the browser sent is too long")
    try:
        made = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=settings.host,
            expected_origin=list(settings.places),
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier.ECDSA_SHA_256],
        )
        public = decode_credential_public_key(made.credential_public_key)
    except (WebAuthnException, ValueError, TypeError, KeyError) as error:
        raise BadSignature(f"the passkey cannot be registered: {str(error)[:300]}") from error
    if not isinstance(public, DecodedEC2PublicKey) or public.crv != 1:  # RFC 9053, 7.1: P-256
        raise BadSignature("the passkey cannot be registered: its key is not on P-256")
    point = public.x.rjust(32, b"\0") + public.y.rjust(32, b"\0")
    return _letters(made.credential_id), ApproverKey(key=f"es256:{_letters(point)}")


def _parts(proof: Mapping[str, Any]) -> tuple[dict[str, str], int]:
    told, iat = proof.get("passkey"), proof.get("iat")
    if set(proof) != {"passkey", "iat"} or not isinstance(told, dict) or type(iat) is not int:
        raise BadSignature("the passkey's proof cannot be read: it is `passkey` and `iat`, and nothing else")
    parts = cast("dict[str, Any]", told)
    if set(parts) != set(_PARTS) or not all(isinstance(part, str) for part in parts.values()):
        raise BadSignature(f"the passkey's proof cannot be read: its parts are {', '.join(_PARTS)}")
    if sum(map(len, parts.values())) > MOST_BYTES:
        raise BadSignature("the passkey's proof is too long")
    return parts, iat


def _plain(error: Exception, parts: Mapping[str, str], said: Statement) -> str:
    """The commonest fault in our own words: another answer than was confirmed."""
    try:
        told: Any = pydantic_core.from_json(_bytes(parts["clientDataJSON"]))
        challenge = told["challenge"]
    except (ValueError, TypeError, KeyError):
        return "it cannot be read"
    if challenge != _letters(bytes.fromhex(said.hash)):
        return "another answer was confirmed by it"
    return str(error)[:300]


def _cose(key: ApproverKey) -> bytes:
    """The key as an authenticator writes it (RFC 9053, 7.1.1). Raises `ValueError` for one of another kind."""
    from webauthn.helpers import encode_cbor

    jwk = key.jwk()
    if key.alg != "ES256":
        raise ValueError("the key is not one of a passkey")
    return encode_cbor({1: 2, 3: -7, -1: 1, -2: _bytes(jwk["x"]), -3: _bytes(jwk["y"])})


def _bytes(letters: str) -> bytes:
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def user_handle(tenant: str, subject: str) -> bytes:
    """What an authenticator keeps as the user's id: says nothing of who it is (WebAuthn, 14.6.1)."""
    return hashlib.sha256(f"perdure\0{tenant}\0{subject}".encode()).digest()
