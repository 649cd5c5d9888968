"""The secrets by which Perdure itself is known to providers: in the environment, or in a file, sealed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..core.errors import ConfigError
from ..core.provider_settings import ProviderSettings
from ..identity.sealing import MasterKeys

__all__ = ["client_secret", "reseal_secret", "seal_secret", "sealed_path"]


def client_secret(name: str, settings: ProviderSettings, master: Callable[[], MasterKeys]) -> str | None:
    """The secret of a provider's client, or None. Raises `ConfigError` where it is not where the settings say."""
    if settings.client_secret is None:
        return None
    kind, _, place = settings.client_secret.partition(":")
    if kind == "env":
        found = os.environ.get(place)
        if not found:
            raise ConfigError(
                f"the client secret of provider `{name}` should be in `{place}`, which is not set"
            )
        return found
    return master().unseal(_read(name, Path(place)), context=_context(name)).decode()


def sealed_path(name: str, settings: ProviderSettings) -> Path | None:
    """The file of a sealed secret; None: it is elsewhere, or there is none."""
    kind, _, place = (settings.client_secret or "").partition(":")
    return Path(place) if kind == "sealed" else None


def seal_secret(name: str, path: Path, secret: str, master: MasterKeys) -> None:
    """Write a secret to its file."""
    _write(path, master.seal(secret.encode(), context=_context(name)))


def reseal_secret(name: str, path: Path, master: MasterKeys) -> bool:
    """Seal it under the current master key. False: it was, or there is none."""
    if not path.exists():
        return False
    sealed = _read(name, path)
    if master.is_current(sealed):
        return False
    _write(path, master.seal(master.unseal(sealed, context=_context(name)), context=_context(name)))
    return True


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the client secret of provider `{name}` cannot be read: {error}; `perdure vault secret {name}` writes it"
        ) from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _context(name: str) -> str:
    return f"client secret|{name}"
