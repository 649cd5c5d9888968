"""Signatures of people over their answers: compact JWS of one type, by keys that are registered, and nothing else.

    {"alg":"Ed25519","kid":"…","typ":"perdure-approval+jwt"} . the statement's text . signature

What the text says is not looked at here; `governance.statements` has that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from ..core.approver_keys import ApproverKey
from ..core.errors import BadSignature
from .signatures import SignedText

__all__ = ["APPROVAL_TYPE", "MOST_BYTES", "opened", "sign"]

APPROVAL_TYPE = "perdure-approval+jwt"
MOST_BYTES = 65_536
"""Of a signed answer: the reason is in it."""


def sign(text: bytes, private: OKPKey | ECKey, key: ApproverKey) -> str:
    """Sign a statement's text."""
    header = {"alg": key.alg, "kid": key.kid, "typ": APPROVAL_TYPE}
    return jws.serialize_compact(header, text, private, algorithms=[key.alg])


def opened(signed: str, find: Callable[[str], ApproverKey | None]) -> tuple[str, bytes]:
    """The id of the key that signed, and the text. Raises `BadSignature`, whatever it was that came."""
    if len(signed) > MOST_BYTES:
        raise BadSignature("the signature is too long")
    try:
        made = SignedText.read(signed)
    except (ValueError, RecursionError) as error:
        raise BadSignature(f"the signature cannot be read: {error}") from error
    header = made.header
    if set(header) != {"alg", "kid", "typ"}:  # no `crit`, no key and no address that it brings itself
        raise BadSignature("the signature's header has other fields than alg, kid and typ")
    if header["typ"] != APPROVAL_TYPE:
        raise BadSignature(f"what is signed is of type `{str(header['typ'])[:80]}`, not `{APPROVAL_TYPE}`")
    kid = str(header["kid"])
    key = find(kid)
    if key is None:
        raise BadSignature(f"no approver has the key `{kid[:64]}`")
    if header["alg"] != key.alg:
        raise BadSignature(f"the key `{kid}` signs by {key.alg}, and not by `{str(header['alg'])[:20]}`")
    if not _signed_by(made, key):
        raise BadSignature("the signature is wrong: something else was signed, or by another key")
    return kid, made.payload


def _signed_by(made: SignedText, key: ApproverKey) -> bool:
    jwk = cast("dict[str, Any]", key.jwk())
    try:
        if key.alg == "ES256":
            return made.signed_by(ECKey.import_key(jwk))
        public = OKPKey.import_key(jwk).public_key
        assert isinstance(public, Ed25519PublicKey)
        public.verify(made.signature, made.signed)
    except (InvalidSignature, JoseError, ValueError):  # or a point that is not on the curve
        return False
    return True
