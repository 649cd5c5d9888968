"""Makes the environment of the contenders: `make_bench_venv.py FOLDER` installs pyproject.toml's groups `bench-...`.

A group that cannot be installed is told and left out: the table then says so of that contender. Delete the folder to
try again.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

GROUP = "bench-"


def main(folder: Path) -> int:
    root = Path(__file__).resolve().parent.parent
    groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    if not (folder / "bin" / "python").exists():
        print(f"Making {folder} for the contenders")
        if subprocess.run([sys.executable, "-m", "venv", folder], check=False).returncode:
            print("no environment for the contenders: they are left out", file=sys.stderr)
            folder.mkdir(parents=True, exist_ok=True)
            return 0
    for name, requirements in groups.items():
        if name.startswith(GROUP):
            print(f"Installing {name.removeprefix(GROUP)}: {', '.join(requirements)}")
            command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements]
            if subprocess.run(command, check=False).returncode:
                print(
                    f"{name.removeprefix(GROUP)} cannot be installed here, and is left out", file=sys.stderr
                )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
