"""Signed texts by ES256, read strictly: the one form that tokens and proofs of Perdure have (RFC 7515 and 7518).

    base64url(header) . base64url(payload) . base64url(R ‖ S)

By hand, as a general library has more to choose from than is good here, and costs 25 µs more each time. What it must
refuse is known: `tests/identity/test_wycheproof.py` reads Project Wycheproof's vectors.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import pydantic_core
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

__all__ = ["ALGORITHM", "SignedText"]

ALGORITHM = "ES256"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_ECDSA = ECDSA(SHA256())
_HALF = 32  # bytes of R, and of S


class SignedText(NamedTuple):
    """What a text says, before anybody has looked at its signature."""

    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    @classmethod
    def read(cls, text: str) -> SignedText:
        """Take a text apart. Raises `ValueError` where it is no compact serialisation, to the letter."""
        encoded = text.encode("ascii")
        signed, dot, signature = encoded.rpartition(b".")
        header, dot_before, payload = signed.partition(b".")
        if not (dot and dot_before):
            raise ValueError("it has not three parts")
        told: Any = pydantic_core.from_json(_decoded(header))
        if not isinstance(told, dict):
            raise ValueError("its header is no object")
        return cls(cast("dict[str, Any]", told), _decoded(payload), signed, _decoded(signature))

    def signed_by(self, key: ECKey) -> bool:
        """Whether a key has signed it, by ES256 and nothing else, and is there to sign."""
        public = _public(key)
        if self.header.get("alg") != ALGORITHM or public is None or len(self.signature) != 2 * _HALF:
            return False
        r, s = int.from_bytes(self.signature[:_HALF]), int.from_bytes(self.signature[_HALF:])
        try:
            public.verify(encode_dss_signature(r, s), self.signed, _ECDSA)
        except InvalidSignature:
            return False
        return True


def _decoded(part: bytes) -> bytes:
    try:
        data = a2b_base64(part.translate(_TO_STANDARD) + b"=" * (-len(part) % 4), strict_mode=True)
    except Error as error:
        raise ValueError("a part of it is no base64url") from error
    if b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL) != part:
        raise ValueError("a part of it is written in another spelling")  # two texts would be one token
    return data


def _public(key: ECKey) -> EllipticCurvePublicKey | None:
    """The key as the cryptography library has it; None where it is not meant for this."""
    try:
        key.check_use("sig")
        key.check_alg(ALGORITHM)
        key.check_key_op("verify")
    except (JoseError, AssertionError):
        return None
    public = key.public_key  # kept by the key itself
    return public if isinstance(public.curve, SECP256R1) else None
