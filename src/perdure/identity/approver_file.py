"""An approver's private key: made on their machine, kept in a file that a passphrase opens, shown to nobody.

passphrase ─ scrypt ─► key ─ AES-256-GCM ─► the private JWK          bound to whose it is and to its id
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

import pydantic
import pydantic_core
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from ..core.approver_keys import ApproverKey
from ..core.errors import ConfigError
from .approvals import CHANGE_TYPE, sign
from .sealing import CannotUnseal, MasterKeys

__all__ = ["FEWEST_LETTERS", "Algorithm", "SigningKey"]

Algorithm = Literal["ed25519", "es256"]
FEWEST_LETTERS = 8
"""Of a passphrase."""
_HARD = 17
"""2**17 blocks of 1 KiB: 128 MiB and about half a second, for us as for whoever guesses (OWASP's first choice)."""
_HARDEST = 20


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    format: Literal[1]
    user: str
    key: str
    """the public half, as it stands in settings"""
    scrypt_log2_n: int = pydantic.Field(ge=1, le=_HARDEST)
    salt: pydantic.Base64Bytes
    sealed: pydantic.Base64Bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An approver's own key, opened."""

    user: str
    public: ApproverKey
    private: OKPKey | ECKey = field(repr=False, compare=False)

    @classmethod
    def new(cls, user: str, algorithm: Algorithm = "ed25519") -> Self:
        """Make a key."""
        if algorithm == "ed25519":
            private: OKPKey | ECKey = OKPKey.generate_key("Ed25519")
        else:
            private = ECKey.generate_key("P-256")
        return cls(user, _public(private), private)

    def sign(self, text: bytes) -> str:
        """Sign a statement's text: a compact JWS."""
        return sign(text, self.private, self.public)

    @property
    def kid(self) -> str:
        """The id of the key."""
        return self.public.kid

    def sign_change(self, text: bytes) -> str:
        """Sign what a `governance.changes.Draft` says: a compact JWS of another type than an answer's."""
        return sign(text, self.private, self.public, type_=CHANGE_TYPE)

    def write(self, path: Path, passphrase: str, *, hard: int = _HARD) -> None:
        """Keep it in a new file that only its owner can read. Raises `ConfigError` where there is one already."""
        if len(passphrase) < FEWEST_LETTERS:
            raise ConfigError(f"the passphrase is too short: at least {FEWEST_LETTERS} letters")
        salt = secrets.token_bytes(16)
        private = pydantic_core.to_json(cast("dict[str, Any]", self.private.as_dict(private=True)))
        sealed = _seals(passphrase, salt, hard).seal(private, context=_context(self.user, self.public))
        told = _File.model_construct(
            format=1, user=self.user, key=self.public.key, scrypt_log2_n=hard, salt=salt, sealed=sealed
        )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError(f"there is a file `{path}` already; name another, or move it away") from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(told.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path, passphrase: Callable[[str], str]) -> Self:
        """Open the key of a file. `passphrase` is asked for, by what it opens. Raises `ConfigError`."""
        told = _told(path)
        public = ApproverKey(key=told.key)
        given = passphrase(f"`{path}` of {told.user}")
        try:
            private: dict[str, Any] = pydantic_core.from_json(
                _seals(given, told.salt, told.scrypt_log2_n).unseal(
                    told.sealed, context=_context(told.user, public)
                )
            )
            kind = OKPKey if public.alg == "Ed25519" else ECKey
            key = kind.import_key(private)
        except CannotUnseal:
            raise ConfigError(f"the key `{path}` does not open: the passphrase is another") from None
        except (JoseError, ValueError) as error:
            raise ConfigError(f"`{path}` holds no key: make one with `perdure approvers keygen`") from error
        return cls(told.user, public, key)


def owner_of(path: Path) -> str:
    """Whose key a file holds; it need not be opened for that. Raises `ConfigError`."""
    return _told(path).user


def _told(path: Path) -> _File:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigError(f"`{path}` can be read by others than its owner: `chmod 600 {path}`")
        return _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"there is no key `{path}`: `perdure approvers keygen` makes one") from None
    except (OSError, pydantic.ValidationError) as error:
        raise ConfigError(f"`{path}` is no key of an approver: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _public(private: OKPKey | ECKey) -> ApproverKey:
    told = cast("dict[str, str]", private.as_dict(private=False))
    if isinstance(private, OKPKey):
        return ApproverKey(key=f"ed25519:{told['x']}")
    import base64

    both = b"".join(base64.urlsafe_b64decode(told[name] + "=") for name in ("x", "y"))
    return ApproverKey(key=f"es256:{base64.urlsafe_b64encode(both).rstrip(b'=').decode()}")


def _seals(passphrase: str, salt: bytes, hard: int) -> MasterKeys:
    key = Scrypt(salt=salt, length=32, n=2**hard, r=8, p=1).derive(passphrase.encode())
    return MasterKeys([key])


def _context(user: str, key: ApproverKey) -> str:
    return f"approver key|{user}|{key.kid}"
