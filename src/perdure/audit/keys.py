"""The key of the log, in a file: its public half as it is, its private half sealed under the master key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from ..core.errors import ConfigError
from .notes import Signer, VerifierKey

if TYPE_CHECKING:
    from ..identity.sealing import MasterKeys

__all__ = ["default_origin", "make_key", "open_key", "public_key", "reseal_key"]


class _File(pydantic.BaseModel):
    format: int = pydantic.Field(1, ge=1, le=1)
    key: str
    """the verifier key"""
    sealed: pydantic.Base64Bytes


def default_origin(trust_domain: str | None) -> str:
    """A name for a log that nobody named; it must be the only one of this name."""
    return f"{trust_domain or 'perdure.invalid'}/audit/{secrets.token_hex(4)}"


def make_key(path: Path, origin: str, master: MasterKeys) -> VerifierKey:
    """Make the key of the log `origin`. Raises `ConfigError` where there is one already: a log has one key."""
    signer = Signer.new(origin)
    verifier = signer.verifier
    told = _File.model_construct(
        format=1, key=str(verifier), sealed=master.seal(signer.private, context=_context(verifier))
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"the audit log has a key already, `{path}`; `perdure audit key` shows its public half"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(told.model_dump_json(indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    return verifier


def public_key(path: Path) -> VerifierKey | None:
    """The verifier key of the file; None where there is no file. Needs no master key. Raises `ConfigError`."""
    told = _read(path)
    return None if told is None else VerifierKey.parse(told.key)


def open_key(path: Path, master: Callable[[], MasterKeys]) -> Signer | None:
    """The key that signs; None where there is no file. Raises `ConfigError`, `CannotUnseal`."""
    told = _read(path)
    if told is None:
        return None
    verifier = VerifierKey.parse(told.key)
    signer = Signer(verifier.name, master().unseal(told.sealed, context=_context(verifier)))
    if signer.verifier != verifier:
        raise ConfigError(f"the key file `{path}` was changed: its halves do not belong together; restore it")
    return signer


def reseal_key(path: Path, master: MasterKeys) -> bool:
    """Seal it anew under the current master key. False: it was, or there is none."""
    told = _read(path)
    if told is None or master.is_current(told.sealed):
        return False
    context = _context(VerifierKey.parse(told.key))
    sealed = master.seal(master.unseal(told.sealed, context=context), context=context)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(
            _File.model_construct(format=1, key=told.key, sealed=sealed).model_dump_json(indent=1).encode()
        )
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return True


def _read(path: Path) -> _File | None:
    try:
        return _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, pydantic.ValidationError) as error:
        raise ConfigError(
            f"the key file `{path}` cannot be read: {error}; restore it from a backup"
        ) from error


def _context(verifier: VerifierKey) -> str:
    return f"audit key|{verifier}"
