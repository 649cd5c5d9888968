"""A device that holds passkeys, in software: what browser and authenticator do together (WebAuthn, level 3)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

UP, UV, AT = 1, 4, 64
"""Flags: somebody is there; they have unlocked it; a new key is in it."""


def letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One device, at one page."""

    origin: str = "https://perdure.example.org"
    host: str = "perdure.example.org"
    unlocked: bool = True
    algorithm: int = -7
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def create(self, options: dict[str, Any]) -> str:
        """`navigator.credentials.create`, as JSON."""
        assert options["rp"]["id"] == self.host
        key, id = ec.generate_private_key(ec.SECP256R1()), os.urandom(20)
        self.keys[letters(id)] = key
        numbers = key.public_key().public_numbers()
        cose = {
            1: 2,
            3: self.algorithm,
            -1: 1,
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }
        attested = bytes(16) + len(id).to_bytes(2, "big") + id + cbor2.dumps(cose)
        said = self._data(AT) + attested
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": said})
        return json.dumps(
            {
                "id": letters(id),
                "rawId": letters(id),
                "type": "public-key",
                "response": {
                    "clientDataJSON": letters(self._client("webauthn.create", options["challenge"])),
                    "attestationObject": letters(made),
                },
                "clientExtensionResults": {},
            }
        )

    def get(self, asked: dict[str, Any], *, id: str | None = None, **changed: Any) -> dict[str, Any]:
        """`navigator.credentials.get`, as the proof of an answer."""
        options = asked["publicKey"]
        assert options["rpId"] == self.host or "host" in changed
        id = id or next(c["id"] for c in options["allowCredentials"] if c["id"] in self.keys)
        client = self._client("webauthn.get", changed.get("challenge", options["challenge"]))
        said = self._data(0)
        signed = self.keys[id].sign(said + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        parts = {
            "id": id,
            "authenticatorData": letters(said),
            "clientDataJSON": letters(client),
            "signature": letters(signed),
        }
        return {"passkey": parts, "iat": asked["iat"]}

    def _client(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(told).encode()

    def _data(self, flags: int) -> bytes:
        flags |= UP | (UV if self.unlocked else 0)
        return hashlib.sha256(self.host.encode()).digest() + bytes([flags]) + bytes(4)
