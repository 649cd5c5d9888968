"""The outbox: a file for each reply, which a mailer would pick up. Named by the key, so that one reply is one file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


class Outbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, to: str, text: str, key: str) -> str:
        """Whole, or not there at all, also when the process is killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(key)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"key": key, "to": to, "text": text}), encoding="utf-8")
        fresh.replace(file)
        return f"queued as {file.stem}"

    def find(self, key: str) -> str | None:
        file = self._file(key)
        return f"queued as {file.stem}" if file.exists() else None

    def texts_of(self, run: str) -> list[str]:
        return [mail["text"] for mail in self._mails(run)]

    def addressee_of(self, run: str) -> str | None:
        return next((mail["to"] for mail in self._mails(run)), None)

    def _mails(self, run: str) -> list[dict[str, str]]:
        """Of a run, the oldest first."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        mails = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        return [mail for mail in mails if mail["key"].startswith(f"{run}/")]

    def _file(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
