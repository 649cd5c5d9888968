"""What was measured on: the disk's fsync, the versions of everything."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

__all__ = ["base_folder", "fsync", "versions"]


def base_folder() -> Path:
    """Where stores are made: `PERDURE_BENCH_DIR`, or the system's temporary folder."""
    return Path(os.environ.get("PERDURE_BENCH_DIR") or tempfile.gettempdir())


def fsync(*, appends: int) -> dict[str, tuple[float, str]]:
    """The median of so many appends of a page, each made durable."""
    times: list[float] = []
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile(dir=base_folder(), buffering=0) as file:
        for _ in range(appends):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            sync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    return {"fdatasync p50": (statistics.median(times), "ms")}


def versions(*, packages: list[str]) -> dict[str, str]:
    """Versions of installed packages, as this interpreter sees them."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if "apsw" in found:
        import apsw

        found["sqlite"] = apsw.sqlite_lib_version()
    else:
        import sqlite3

        found["sqlite"] = sqlite3.sqlite_version
    return found
