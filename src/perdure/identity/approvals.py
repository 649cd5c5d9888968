"""Signatures of people over their answers: compact JWS of one type, by keys that are registered, and nothing else.

    {"alg":"Ed25519","kid":"…","typ":"perdure-approval+jwt"} . the statement's text . signature

The text is a `core.statements.Statement`: all of it is compared with what must have been signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from ..core.approval_settings import ApprovalSettings
from ..core.approver_keys import ApproverKey
from ..core.errors import BadSignature
from ..core.people import person
from ..core.statements import Statement
from .signatures import SignedText

__all__ = [
    "APPROVAL_TYPE",
    "CHANGE_TYPE",
    "MOST_BYTES",
    "SKEW_SECONDS",
    "Signed",
    "examined",
    "opened",
    "sign",
]

APPROVAL_TYPE = "perdure-approval+jwt"
CHANGE_TYPE = "perdure-change+jwt"
"""Of what people change while workers live (`governance.changes`): no answer can be taken for one, nor the reverse."""
MOST_BYTES = 65_536
"""Of a signed answer: the reason is in it."""
SKEW_SECONDS = 60
"""How far a signer's clock may be before the store's."""


def sign(text: bytes, private: OKPKey | ECKey, key: ApproverKey, *, type_: str = APPROVAL_TYPE) -> str:
    """Sign a statement's text; `type_` is what it is a text of."""
    header = {"alg": key.alg, "kid": key.kid, "typ": type_}
    return jws.serialize_compact(header, text, private, algorithms=[key.alg])


def opened(
    signed: str, find: Callable[[str], ApproverKey | None], *, type_: str = APPROVAL_TYPE
) -> tuple[str, bytes]:
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
    if header["typ"] != type_:
        raise BadSignature(f"what is signed is of type `{str(header['typ'])[:80]}`, not `{type_}`")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What was found good: as it stands in the VERDICT."""

    by: str
    """whose key it is, as the registry names them"""
    key: str
    """its id"""
    public: str
    """the key itself: what the registry held at that time; of an issuer, a JWK"""
    iat: int
    """when it was signed, seconds since the Unix epoch, by the signer's clock"""
    checked_at: int
    """when it was looked at, microseconds, the store's clock: the key was not revoked then"""
    issuer: str | None = None
    """who vouches for a sign-in; None: it is a key of the person's own"""
    passkey: str | None = None
    """the id of the credential, where a passkey has signed"""

    def told(self) -> dict[str, Any]:
        """For the journal."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def examined(
    proof: Any, expected: Statement, settings: ApprovalSettings, *, at: int, now: int
) -> tuple[Signed, ApproverKey]:
    """Look at all of a signature but whether its key is revoked. Raises `BadSignature`, which says why.

    `expected` is what must have been signed; its `iat` and `kid` are the signer's. `at` is when the answer arrived.
    """
    if not isinstance(proof, str) or not proof:
        raise BadSignature("it is not signed: `perdure approvals approve --sign-with KEYFILE` signs it")
    kid, text = opened(proof, lambda kid: found[1] if (found := settings.key(kid)) else None)
    owner, key = cast("tuple[str, ApproverKey]", settings.key(kid))
    if person(owner) != person(expected.sub):
        raise BadSignature(
            f"it is signed by a key of `{owner}`, and `{expected.sub}` is said to have answered"
        )
    try:
        said = Statement.read(text)
    except (ValueError, RecursionError) as error:
        raise BadSignature(f"what is signed cannot be read: {error}") from error
    if wrong := said.differs(replace(expected, iat=said.iat, kid=kid)):
        raise BadSignature(_other(wrong[0], said, replace(expected, kid=kid)))
    age = at // 1_000_000 - said.iat
    if age > settings.signed_within.total_seconds():
        raise BadSignature(
            f"it was signed {age} s before it arrived, and {settings.signed_within.total_seconds():.0f} s are allowed "
            "(`signed_within`): sign it again"
        )
    if age < -SKEW_SECONDS:
        raise BadSignature(f"it was signed {-age} s from now: the signer's clock is wrong")
    return Signed(by=owner, key=kid, public=key.key, iat=said.iat, checked_at=now), key


def _other(name: str, said: Statement, expected: Statement) -> str:
    theirs, ours = (str(getattr(one, name))[:80] for one in (said, expected))
    return f"what is signed is another answer: its `{name}` is `{theirs}`, and should be `{ours}`"
