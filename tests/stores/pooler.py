"""A real pgbouncer in transaction mode before the tests' server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.places import PostgresServer, database_of

ABSENT = "no pgbouncer: `apt-get install pgbouncer` (or your system's package of that name) brings one"

PATIENCE = 30.0


def program() -> str | None:
    """Where pgbouncer is."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Pooler:
    """pgbouncer, as a process. `url` is a database's, through it."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        address = server.address
        host, port = (os.path.dirname(address), 5432) if isinstance(address, str) else address
        if isinstance(address, str):
            port = int(address.rpartition(".")[2])
        self._log = folder / "pgbouncer.log"
        self._settings = folder / "pgbouncer.ini"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        # Two connections for everybody: whoever relied on having one of its own would be found out.
        self._settings.write_text(
            f"[databases]\n* = host={host} port={port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
            "default_pool_size = 2\nmin_pool_size = 0\nmax_client_conn = 500\n"
        )
        self._user = server.user or ("postgres" if os.getuid() == 0 else None)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        found = program()
        assert found is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [found, str(self._settings)], stdout=log, stderr=log, user=self._user, cwd="/"
            )
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < end, self._log.read_text()
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """At once: what was under way is cut off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, of: str) -> str:
        """The same database, through the pooler."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database_of(of)}?sslmode=disable"
