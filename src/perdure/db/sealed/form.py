"""What stands in a store instead of what a data subject's runs record: AES-256-GCM under a key of that person's own.

    entry    payload = commitment (32 bytes) │ nonce (12) │ ciphertext and tag of salt ‖ payload;  no salt;  codec + 128
    text     `sealed.1:` and base64 of nonce │ ciphertext and tag
    bytes    01 │ nonce │ ciphertext and tag
    cell     {"sealed": {"subject": ..., "data": base64 of the same}}

An entry is bound to its hash, which names its run, its place, its kind, and all that came before it; the others are
bound to a context that names what they are and whose. So nothing that was moved elsewhere opens there.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os

import pydantic_core
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...journal import Codec, Entry, Kind, commitment
from .marks import BYTES_MARK, TEXT_MARK

__all__ = ["LEFT_PLAIN", "SubjectKey"]

LEFT_PLAIN = frozenset({Kind.CHARGED})
"""Kinds that are not sealed: bills outlive journals, and a charge names models, tools and runs, no person."""

_COMMITMENT_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random nonces, at most 2**32 values under one key
_SEALED = int(Codec.SEALED)


class SubjectKey:
    """The key of one person's data. It belongs to a tenant, and never leaves the process."""

    __slots__ = ("_cipher", "_marks", "_names", "subject", "tenant")

    def __init__(self, tenant: str, subject: str, secret: bytes) -> None:
        self.tenant = tenant
        self.subject = subject
        # One secret, three uses: each has a key of its own.
        self._cipher = AESGCM(hmac.digest(secret, b"perdure data subject 1 payloads", "sha256"))
        self._marks = hmac.digest(secret, b"perdure data subject 1 fingerprints", "sha256")
        self._names = hmac.digest(secret, b"perdure data subject 1 names", "sha256")

    def __repr__(self) -> str:
        return f"SubjectKey({self.tenant!r}, {self.subject!r})"

    def fingerprint_key(self, tenant_key: bytes) -> bytes:
        """The key of fingerprints of this person's runs: once the secret is gone nobody can guess what was asked."""
        return hmac.digest(self._marks, tenant_key, "sha256")

    def seal_entry(self, entry: Entry) -> Entry:
        """The entry as it is stored."""
        if entry.kind in LEFT_PLAIN or not entry.salt:
            return entry
        nonce = os.urandom(_NONCE_BYTES)
        hidden = self._cipher.encrypt(nonce, entry.salt + entry.payload, entry.hash)
        kept = commitment(entry.salt, entry.payload)
        return entry._replace(codec=entry.codec | _SEALED, salt=b"", payload=kept + nonce + hidden)

    def open_entry(self, entry: Entry) -> Entry:
        """The entry as it was written. One that does not open has a hash that does not fit: `verify_chain` names it."""
        if not entry.sealed:
            return entry
        codec = entry.codec & ~_SEALED
        hidden = entry.payload[_COMMITMENT_BYTES:]
        try:
            plain = self._cipher.decrypt(hidden[:_NONCE_BYTES], hidden[_NONCE_BYTES:], entry.hash)
        except (InvalidTag, ValueError):
            return entry._replace(codec=codec, salt=bytes(_SALT_BYTES), payload=b"")
        return entry._replace(codec=codec, salt=plain[:_SALT_BYTES], payload=plain[_SALT_BYTES:])

    def mark(self, text: str) -> str:
        """By which a text is found again; who has no key learns from it only that two are the same."""
        return hmac.digest(self._names, text.encode(errors="surrogatepass"), "sha256")[:16].hex()

    def seal_bytes(self, data: bytes, context: str) -> bytes:
        """Bytes as they are stored."""
        nonce = os.urandom(_NONCE_BYTES)
        return BYTES_MARK + nonce + self._cipher.encrypt(nonce, data, self._bound(context))

    def open_bytes(self, stored: bytes, context: str) -> bytes | None:
        """Bytes as they were; those that were never sealed as they are. None: they do not open."""
        if stored[:1] != BYTES_MARK:
            return stored
        try:
            return self._cipher.decrypt(
                stored[1 : 1 + _NONCE_BYTES], stored[1 + _NONCE_BYTES :], self._bound(context)
            )
        except (InvalidTag, ValueError):
            return None

    def seal_text(self, text: str, context: str) -> str:
        """Text as it is stored."""
        sealed = self.seal_bytes(text.encode(errors="surrogatepass"), context)
        return TEXT_MARK + base64.b64encode(sealed).decode()

    def open_text(self, stored: str, context: str) -> str | None:
        """Text as it was; what was never sealed as it is. None: it does not open."""
        if not stored.startswith(TEXT_MARK):
            return stored
        try:
            sealed = base64.b64decode(stored.removeprefix(TEXT_MARK), validate=True)
        except binascii.Error:
            return None
        opened = self.open_bytes(sealed, context)
        return None if opened is None else opened.decode(errors="surrogatepass")

    def seal_cell(self, data: bytes, context: str) -> bytes:
        """A cell's data as it is stored: who reads it finds out whose it is."""
        sealed = base64.b64encode(self.seal_bytes(data, context)).decode()
        return pydantic_core.to_json({"sealed": {"subject": self.subject, "data": sealed}})

    def open_cell(self, sealed: str, context: str) -> bytes | None:
        """The data of a cell, of which `marks.sealed_cell` has found this. None: it does not open."""
        try:
            return self.open_bytes(base64.b64decode(sealed, validate=True), context)
        except binascii.Error:
            return None

    def _bound(self, context: str) -> bytes:
        return f"{self.tenant}|{self.subject}|{context}".encode()
