"""Where checkpoints go: a folder, a store that speaks S3, a witness. Blocking: called in a thread.

What matters is that the log's own operators cannot change what has gone there: an object store with a retention lock, a
folder of another machine, a witness that somebody else runs.
"""

from __future__ import annotations

import base64
import importlib
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..core.audit_settings import AuditSettings
from ..core.errors import BadSignature, ConfigError, StoreUnavailable
from .notes import Signature, SignedNote, signatures_of

__all__ = ["Folder", "Place", "S3Place", "Witness", "WitnessBehind", "WitnessRefused", "destination_of"]

SECONDS = 15.0
"""How long a receiver may take."""
MOST_ANSWER = 1 << 20
SIZE_TYPE = "text/x.tlog.size"


class Place(Protocol):
    """Keeps objects by name."""

    name: str

    def get(self, name: str) -> bytes | None:
        """The object; None: there is none. Raises `StoreUnavailable`."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whole or not at all. Raises `StoreUnavailable`."""
        ...


class Folder:
    """A folder: another disk, a mount of another machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def get(self, name: str) -> bytes | None:
        """The file; None: there is none."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"`{self._path / name}` cannot be read: {error}") from error

    def put(self, name: str, data: bytes) -> None:
        """Write beside, then in its place."""
        path = self._path / name
        beside = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise StoreUnavailable(f"`{path}` cannot be written: {error}") from error


class S3Place:
    """A prefix in a bucket, by `obstore` (extra `s3`). Credentials are Amazon's usual variables."""

    def __init__(self, url: str, *, endpoint: str | None = None) -> None:
        self.name = url
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"`{url}` names no bucket: write `s3://BUCKET/PREFIX`")
        try:
            made = importlib.import_module("obstore.store").S3Store
        except ModuleNotFoundError:
            raise ConfigError('an `s3://` place needs the extra `s3`: `pip install "perdure[s3]"`') from None
        options: dict[str, Any] = {}
        if endpoint is not None:
            options["endpoint"] = endpoint
            options["client_options"] = {"allow_http": endpoint.startswith("http://")}
        self._store: Any = made(
            bucket, prefix=prefix.rstrip("/") or None, retry_config={"max_retries": 2}, **options
        )

    def get(self, name: str) -> bytes | None:
        """The object; None: there is none."""
        try:
            return bytes(self._store.get(name).bytes())
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StoreUnavailable(f"`{self.name}/{name}` cannot be read: {_line(error)}") from error

    def put(self, name: str, data: bytes) -> None:
        """Write the object."""
        try:
            self._store.put(name, data)
        except Exception as error:
            raise StoreUnavailable(f"`{self.name}/{name}` cannot be written: {_line(error)}") from error


class WitnessBehind(Exception):
    """A witness has seen another size last than it was told."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness has seen {size} leaves")
        self.size = size


class WitnessRefused(StoreUnavailable):
    """A witness does not cosign. `fork`: it holds a checkpoint that contradicts ours."""

    def __init__(self, message: str, *, fork: bool = False) -> None:
        super().__init__(message)
        self.fork = fork


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a witness has moved to is for its owner to say."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


class Witness:
    """A witness (C2SP `tlog-witness`): sees that the log only grows, and says so with its signature."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.name = f"witness+{self.url}"

    def add_checkpoint(self, old: int, proof: Sequence[bytes], note: SignedNote) -> tuple[Signature, ...]:
        """Its signatures. Raises `WitnessBehind`, `WitnessRefused`, `StoreUnavailable`."""
        lines = [f"old {old}", *(base64.b64encode(hash).decode() for hash in proof), "", ""]
        body = "\n".join(lines) + str(note)
        request = urllib.request.Request(
            f"{self.url}/add-checkpoint",
            body.encode(),
            {"content-type": "text/plain; charset=utf-8", "user-agent": "perdure"},
        )
        try:
            with _opener.open(request, timeout=SECONDS) as answer:
                return signatures_of(answer.read(MOST_ANSWER).decode())
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode(errors="replace").strip()
            raise self._refusal(error.code, error.headers.get_content_type(), said) from error
        except (OSError, UnicodeDecodeError, BadSignature) as error:
            raise StoreUnavailable(f"`{self.name}` does not answer as a witness: {_line(error)}") from error

    def _refusal(self, code: int, kind: str, said: str) -> Exception:
        if code == 409 and kind == SIZE_TYPE and said.isascii() and said.isdecimal():
            return WitnessBehind(int(said))
        why = {
            403: "it trusts another key for this log: register `perdure audit key` with it",
            404: "it does not know this log: register its origin and `perdure audit key` with it",
            409: "it holds another checkpoint of the same size",
            422: "what it saw last is not the beginning of this log",
        }.get(code, f"it answers {code}")
        return WitnessRefused(f"`{self.name}` does not cosign: {why} ({said[:200]})", fork=code in (409, 422))


def destination_of(text: str, settings: AuditSettings) -> Place | Witness:
    """What stands in `[audit] to`. Raises `ConfigError`."""
    if text.startswith(("witness+https://", "witness+http://")):
        return Witness(text.removeprefix("witness+"))
    if text.startswith("s3://"):
        return S3Place(text, endpoint=settings.s3_endpoint)
    if "://" in text:
        raise ConfigError(
            f"checkpoints cannot go to `{text}`: name a folder, `s3://BUCKET/PREFIX` or `witness+https://…`"
        )
    return Folder(Path(text))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
