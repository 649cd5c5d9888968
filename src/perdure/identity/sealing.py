"""Sealing with AES-256-GCM: what stands on a disk or in a database is useless without the master key.

    sealed = version 1 │ id of the master key │ nonce │ ciphertext and tag

What is sealed is bound to a context (whose it is, what for), so that a sealed value that was moved elsewhere does not
open there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..core.errors import ConfigError, PerdureError

__all__ = ["CannotUnseal", "MasterKeys"]

ENVIRONMENT = "PERDURE_MASTER_KEY"
_VERSION = 1
_ID_BYTES = 8
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random nonces, at most 2**32 values under one key
_KEY_BYTES = 32


class CannotUnseal(PerdureError):
    """A sealed value does not open: another master key, another context, or changed bytes."""


class MasterKeys:
    """The keys that seal: the first seals, all open, so that a new one can be put in front of the old."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys: dict[bytes, AESGCM] = {}
        for key in keys:
            if len(key) != _KEY_BYTES:
                raise ConfigError(f"a master key has {len(key)} bytes; it must have {_KEY_BYTES}")
            self._keys[hashlib.sha256(b"perdure master key" + key).digest()[:_ID_BYTES]] = AESGCM(key)
        if not self._keys:
            raise ConfigError("there is no master key; `perdure identity init` makes one")
        self._current = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(key.hex() for key in self._keys)})"  # ids only

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the keys, the current one first: 16 hexadecimal digits, which say nothing of the key."""
        return tuple(key.hex() for key in self._keys)

    @staticmethod
    def new() -> str:
        """A new key, as text for a file or the environment."""
        return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()

    @classmethod
    def read(cls, text: str, *, where: str) -> MasterKeys:
        """Read keys, one a line, the current one first. Raises `ConfigError`, which never shows a key."""
        try:
            return cls(base64.b64decode(line, validate=True) for line in text.split())
        except binascii.Error as error:
            raise ConfigError(f"{where} is no master key: it must be base64 of {_KEY_BYTES} bytes") from error
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error

    @classmethod
    def open(cls, path: Path) -> MasterKeys:
        """The keys of the environment's `PERDURE_MASTER_KEY`, else of a file that only its owner can read."""
        if given := os.environ.get(ENVIRONMENT):
            return cls.read(given, where=f"`{ENVIRONMENT}`")
        try:
            if os.name == "posix" and path.stat().st_mode & 0o077:
                raise ConfigError(f"`{path}` can be read by others than its owner: `chmod 600 {path}`")
            return cls.read(path.read_text(encoding="ascii"), where=f"`{path}`")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the master key `{path}` cannot be read: {error}; set `{ENVIRONMENT}`, or make one with "
                "`perdure identity init`"
            ) from error

    def seal(self, data: bytes, *, context: str) -> bytes:
        """Seal under the current key."""
        head = bytes([_VERSION]) + self._current
        nonce = os.urandom(_NONCE_BYTES)
        return head + nonce + self._keys[self._current].encrypt(nonce, data, head + context.encode())

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """Open what any of the keys has sealed for this context. Raises `CannotUnseal`."""
        head, nonce = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :][:_NONCE_BYTES]
        if len(nonce) < _NONCE_BYTES or head[0] != _VERSION:
            raise CannotUnseal(f"what is sealed for `{context}` is of no known form")
        cipher = self._keys.get(head[1:])
        if cipher is None:
            raise CannotUnseal(
                f"what is sealed for `{context}` is sealed under master key {head[1:].hex()}, which is not here"
            )
        try:
            return cipher.decrypt(nonce, sealed[1 + _ID_BYTES + _NONCE_BYTES :], head + context.encode())
        except InvalidTag as error:
            raise CannotUnseal(
                f"what is sealed for `{context}` does not open: it was changed, or sealed for something else"
            ) from error

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed under the current key: if not, seal it anew."""
        return sealed[1 : 1 + _ID_BYTES] == self._current
