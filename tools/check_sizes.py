"""Fails where a file has outgrown one responsibility: 500 lines, in tests 800."""

import sys
from pathlib import Path

LIMITS = {"src": 500, "tools": 500, "examples": 500, "benchmarks": 500, "tests": 800}
SUFFIXES = {".py", ".sql", ".js", ".css", ".html"}


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    sizes = [
        (len(path.read_text(encoding="utf-8").splitlines()), limit, path.relative_to(root))
        for folder, limit in LIMITS.items()
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in SUFFIXES and path.is_file()
    ]
    for lines, limit, path in sizes:
        if lines > limit:
            print(f"{path}: {lines} lines, more than {limit}: split it by responsibility", file=sys.stderr)
    too_long = sum(lines > limit for lines, limit, _ in sizes)
    if not too_long:
        longest = max(sizes, default=(0, 0, Path("-")))
        print(f"{len(sizes)} files, the longest {longest[2]} with {longest[0]} lines")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
