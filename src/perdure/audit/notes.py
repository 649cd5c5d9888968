"""Signed notes (C2SP `signed-note`, Go's `sumdb/note`): text, an empty line, and a line for each signature.

    example.com/log                     the text
    42
    …
                                        empty
    — example.com/log Az3grlgtzPICa…    name, and base64 of key id ‖ signature

Two kinds of keys: the log's own (type 1, Ed25519 over the text), and a witness's (type 4, C2SP `tlog-cosignature` v1,
Ed25519 over a time and the text). Ed25519 is that of `cryptography`, of the extra `identity`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..core.errors import BadSignature, ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["ED25519", "WITNESS", "Signature", "SignedNote", "Signer", "VerifierKey", "Verified"]

ED25519 = 1
"""The type of a key that signs the text."""
WITNESS = 4
"""The type of a key that signs a time and the text."""

MOST_SIGNATURES = 64
MOST_BYTES = 1 << 20

_KEY_BYTES = 32
_ID_BYTES = 4
_SIGNATURE_BYTES = 64
_DASH = "\N{EM DASH} "


class Signature(NamedTuple):
    """One line of a note."""

    name: str
    """of the key"""
    id: bytes
    """4 bytes: with the name it says which key, and of which type"""
    value: bytes

    def line(self) -> str:
        """As it stands in a note."""
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.value).decode()}\n"


class Verified(NamedTuple):
    """A signature that is good."""

    name: str
    at: int | None
    """seconds since the Unix epoch, by the witness's clock; None: the signature says no time"""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key, and the name under which it signs."""

    name: str
    public: bytes
    """32 bytes"""
    type: int = ED25519

    @property
    def id(self) -> bytes:
        """How it is called in a note, beside its name."""
        return _key_id(self.name, self.type, self.public)

    def __str__(self) -> str:
        key = base64.b64encode(bytes([self.type]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read `NAME+HASH+BASE64`. Raises `ConfigError` that says what is wrong."""
        shown = f"the verifier key `{text[:120]}`"
        name, plus, rest = text.strip().partition("+")
        id_, more, encoded = rest.partition("+")
        if not (plus and more and _is_name(name)):
            raise ConfigError(f"{shown} must be NAME+HASH+BASE64, as `perdure audit key` prints it")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"{shown} does not end in base64: copy it whole") from error
        if len(raw) != 1 + _KEY_BYTES or raw[0] not in (ED25519, WITNESS):
            raise ConfigError(f"{shown} is neither of an Ed25519 key (type 1) nor of a witness (type 4)")
        key = cls(name, raw[1:], raw[0])
        if key.id.hex() != id_:
            raise ConfigError(f"{shown} was damaged: its hash is {key.id.hex()}; copy it whole")
        return key

    def check(self, text: str, value: bytes) -> Verified:
        """Check a signature of this key. Raises `BadSignature`."""
        at: int | None = None
        message = text.encode()
        if self.type == WITNESS:
            at, value = int.from_bytes(value[:8]), value[8:]
            message = f"cosignature/v1\ntime {at}\n".encode() + message
        if len(value) != _SIGNATURE_BYTES or not _verifies(self.public, value, message):
            raise BadSignature(
                f"the signature of `{self.name}` does not fit: the text is not what was signed"
            )
        return Verified(self.name, at)


class Signer:
    """A private key, made ready once. It never shows itself."""

    __slots__ = ("_key", "name", "private", "type", "verifier")

    def __init__(self, name: str, private: bytes, type: int = ED25519) -> None:
        """`private`: 32 bytes, the seed. Raises `ConfigError` where the extra `identity` is not installed."""
        made = _ed25519().from_private_bytes(private)
        self.name = name
        self.private = private
        self.type = type
        self.verifier = VerifierKey(name, made.public_key().public_bytes_raw(), type)
        """the public half"""
        self._key = made

    def __repr__(self) -> str:
        return f"Signer({self.verifier})"

    @classmethod
    def new(cls, name: str, *, type: int = ED25519) -> Signer:
        """Make a key. Raises `ConfigError` for what cannot be a name."""
        if not _is_name(name):
            raise ConfigError(
                f"`{name[:80]}` cannot name a key: take a URL without its scheme, as `example.com/audit`, without "
                "spaces and `+`"
            )
        return cls(name, _ed25519().generate().private_bytes_raw(), type)

    def sign(self, text: str, *, at: int = 0) -> Signature:
        """Sign a text; a witness says when, in seconds since the Unix epoch."""
        message = text.encode()
        value = b""
        if self.type == WITNESS:
            value = at.to_bytes(8)
            message = f"cosignature/v1\ntime {at}\n".encode() + message
        return Signature(self.name, self.verifier.id, value + self._key.sign(message))


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A text with its signatures."""

    text: str
    """with its last newline"""
    signatures: Sequence[Signature] = ()

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}"

    @classmethod
    def parse(cls, note: str | bytes) -> SignedNote:
        """Read a note. Raises `BadSignature` for what is none."""
        try:
            text = note.decode() if isinstance(note, bytes) else note
        except UnicodeDecodeError as error:
            raise BadSignature(f"this is no signed note: {error}") from error
        if len(text) > MOST_BYTES or re.search(r"[\x00-\x09\x0b-\x1f]", text):
            raise BadSignature("this is no signed note: it is too long, or holds control characters")
        body, gap, lines = text.rpartition("\n\n")
        if not (gap and body and lines.endswith("\n")):
            raise BadSignature("this is no signed note: signatures must follow its text after an empty line")
        return cls(f"{body}\n", signatures_of(lines))

    def verify(self, keys: Iterable[VerifierKey]) -> list[Verified]:
        """The good signatures of these keys, each key's once; those of unknown keys are left aside.

        Raises `BadSignature` where one of a known key is bad, and where there is none of a known key.
        """
        known = {(key.name, key.id): key for key in keys}
        found: dict[tuple[str, bytes], Verified] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.id))
            if key is not None and (key.name, key.id) not in found:
                found[key.name, key.id] = key.check(self.text, signature.value)
        if not found:
            by = ", ".join(f"`{s.name}+{s.id.hex()}`" for s in self.signatures) or "nobody"
            trusted = ", ".join(f"`{name}+{id_.hex()}`" for name, id_ in known) or "no key"
            raise BadSignature(f"the note is signed by {by}, and trusted is {trusted}")
        return list(found.values())

    def with_signatures(self, more: Iterable[Signature]) -> SignedNote:
        """With these too; a newer one of the same key takes the place of the older."""
        merged = {(s.name, s.id): s for s in (*self.signatures, *more)}
        return SignedNote(self.text, tuple(merged.values()))


def signatures_of(lines: str) -> tuple[Signature, ...]:
    """The signatures of lines like those at a note's end. Raises `BadSignature`."""
    found: list[Signature] = []
    for line in lines.splitlines():
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        if not (line.startswith(_DASH) and space and _is_name(name)) or len(raw) <= _ID_BYTES:
            raise BadSignature(f"`{line[:80]}` is no signature of a note")
        found.append(Signature(name, raw[:_ID_BYTES], raw[_ID_BYTES:]))
    if not found or len(found) > MOST_SIGNATURES:
        raise BadSignature(f"a note has 1 to {MOST_SIGNATURES} signatures, not {len(found)}")
    return tuple(found)


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() for c in name)


def _key_id(name: str, type: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([type]) + public).digest()[:_ID_BYTES]


def _verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    _ed25519()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _ed25519() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ModuleNotFoundError:
        raise ConfigError(
            'signatures of checkpoints need the extra `identity`: `pip install "perdure[identity]"`'
        ) from None
    return Ed25519PrivateKey
