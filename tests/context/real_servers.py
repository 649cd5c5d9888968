"""Real MCP servers, as others have written them: had from npm and PyPI, each in a folder of its own.

They stay in `.cache/mcp-servers`. Each speaks the `mcp` SDK that its own package pins, which need not be ours.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHOP = Path(__file__).resolve().parents[2] / ".cache" / "mcp-servers"
NPM = "2026.8.31"
OLDER = "2026.1.14"
"""of the server of files: its tools say other things of themselves"""
PYPI = {"git": "2026.10.19", "time": "2026.10.19", "fetch": "2026.10.24"}
HOW = "`npm`/`pip` must reach a registry; or name a folder that has been filled before: PERDURE_TEST_MCP_SERVERS=DIR"


def _shop() -> Path:
    return Path(os.environ.get("PERDURE_TEST_MCP_SERVERS", SHOP))


def _had(folder: Path, *commands: list[str]) -> Path:
    """The folder, once what belongs in it is there: one process of the suite brings it, the others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _brought(folder, *commands)


def _brought(folder: Path, *commands: list[str]) -> Path:
    if (folder / ".had").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=170, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"`{command[0]}` did not bring a real MCP server: {error}. {HOW}")
        if done.returncode:
            pytest.skip(f"`{' '.join(command)}` did not bring a real MCP server: {done.stderr[-200:]}. {HOW}")
    (folder / ".had").touch()
    return folder


def of_npm(name: str, *arguments: str, version: str = NPM) -> dict[str, Any]:
    """The settings of a server that runs on Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: `apt install nodejs npm`, or https://nodejs.org, brings it")
    package = f"@modelcontextprotocol/server-{name}"
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", "."]
    folder = _had(_shop() / f"npm-{name}-{version}", [*install, f"{package}@{version}"])
    return {
        "command": node,
        "args": [str(folder / "node_modules" / package / "dist" / "index.js"), *arguments],
    }


def of_pypi(name: str, *arguments: str) -> dict[str, Any]:
    """The settings of a server that runs on Python, in an environment of its own."""
    version = PYPI[name]
    pip = ["bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    folder = _had(
        _shop() / f"pypi-{name}-{version}",
        [sys.executable, "-m", "venv", "."],
        [*pip, f"mcp-server-{name}=={version}"],
    )
    return {"command": str(folder / "bin" / f"mcp-server-{name}"), "args": list(arguments)}
