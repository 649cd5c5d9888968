"""Keys in files: one for each agent version, sealed under the master key, changed under a lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pydantic
import pydantic_core
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ..core.errors import ConfigError
from .keys import AgentKey, KeyOwner
from .names import AgentId
from .sealing import MasterKeys

__all__ = ["FileKeyStore"]


class _Key(pydantic.BaseModel):
    kid: str
    created_at: int
    signs_from: int
    revoked_at: int | None = None
    sealed: pydantic.Base64Bytes
    """the private JWK"""


class _File(pydantic.BaseModel):
    format: int = pydantic.Field(1, ge=1, le=1)
    agent: str
    version: str
    keys: list[_Key]


class FileKeyStore:
    """A folder of key files that several processes of one machine may share."""

    def __init__(self, folder: Path, master: MasterKeys) -> None:
        self._folder = folder
        self._master = master

    def keys(self, owner: KeyOwner) -> Sequence[AgentKey]:
        """The keys of an owner, the oldest first. Raises `ConfigError` for a damaged file, `CannotUnseal`."""
        path = self._path(owner)
        try:
            told = _File.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, pydantic.ValidationError) as error:
            raise ConfigError(
                f"the key file `{path}` cannot be read: {error}; restore it from a backup"
            ) from error
        return [self._unsealed(path, owner, key) for key in told.keys]

    def change(
        self, owner: KeyOwner, change: Callable[[Sequence[AgentKey]], Sequence[AgentKey]]
    ) -> Sequence[AgentKey]:
        """Replace an owner's keys by `change` of them, while nobody else does."""
        path = self._path(owner)
        with self._locked():
            before = self.keys(owner)
            after = change(before)
            if after != before:
                told = _File(
                    format=1,
                    agent=str(owner.agent),
                    version=owner.version,
                    keys=[self._sealed(owner, key) for key in after],
                )
                _write(path, told.model_dump_json(indent=1).encode())
        return after

    def reseal(self) -> int:
        """Seal anew, under the current master key, what is sealed under another. How many owners' keys those were."""
        changed = 0
        with self._locked():
            for owner in self.owners():
                path = self._path(owner)
                told = _File.model_validate_json(path.read_bytes())
                if not all(self._master.is_current(key.sealed) for key in told.keys):
                    keys = [self._sealed(owner, key) for key in self.keys(owner)]
                    _write(path, told.model_copy(update={"keys": keys}).model_dump_json(indent=1).encode())
                    changed += 1
        return changed

    def owners(self) -> Sequence[KeyOwner]:
        """All that have keys."""
        found: list[KeyOwner] = []
        for path in sorted(self._folder.glob("*/*.json")):
            told = _File.model_validate_json(path.read_bytes())
            found.append(KeyOwner(AgentId.parse(told.agent), told.version))
        return found

    def _path(self, owner: KeyOwner) -> Path:
        name = "@".join(quote(part, safe="") for part in (owner.agent.agent, owner.version))
        return self._folder / owner.agent.tenant / f"{name}.json"

    def _sealed(self, owner: KeyOwner, key: AgentKey) -> _Key:
        private = pydantic_core.to_json(key.key.as_dict(private=True))
        sealed = self._master.seal(private, context=_context(owner, key.kid))
        return _Key.model_construct(
            kid=key.kid,
            created_at=key.created_at,
            signs_from=key.signs_from,
            revoked_at=key.revoked_at,
            sealed=sealed,
        )

    def _unsealed(self, path: Path, owner: KeyOwner, told: _Key) -> AgentKey:
        private: Any = pydantic_core.from_json(
            self._master.unseal(told.sealed, context=_context(owner, told.kid))
        )
        try:
            key = ECKey.import_key(private)
        except (JoseError, ValueError) as error:
            raise ConfigError(f"the key file `{path}` holds no key under `{told.kid}`; restore it") from error
        return AgentKey(
            kid=told.kid,
            key=key,
            created_at=told.created_at,
            signs_from=told.signs_from,
            revoked_at=told.revoked_at,
        )

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / ".lock").open("w") as lock:
            if os.name == "posix":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)  # let go when it is closed, also by a death
            yield


def _context(owner: KeyOwner, kid: str) -> str:
    return f"agent key|{owner.agent}|{owner.version}|{kid}"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and for the owner's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
