"""Fetches Cedar's own corpus of tests (Apache-2.0): `python tools/fetch_cedar_corpus.py [FOLDER]`.

`tests/governance/policy/test_cedar_corpus.py` holds our verdicts to it where it is there. It stays out of the
repository: it is another project's, and 30,000 files.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

ORIGIN = "https://github.com/cedar-policy/cedar-integration-tests"
FOLDER = Path(".cache/cedar-integration-tests")


def main(folder: Path) -> int:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", ORIGIN, str(folder)], check=True)
    if not (folder / "corpus-tests").exists():
        with tarfile.open(folder / "corpus-tests.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    print(f"{folder}: {len(list((folder / 'corpus-tests').glob('*.cedar')))} of the corpus")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
