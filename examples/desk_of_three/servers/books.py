"""What the servers have done, a line each in a file that is there although a process dies right after."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Books:
    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, **what: Any) -> None:
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, json.dumps(what).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def all(self, what: str) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        return [
            told for line in self._file.read_text().splitlines() if (told := json.loads(line))["what"] == what
        ]
