"""Make `perdure.client.synchronous` of `perdure.client.asynchronous`: the same files, without what waits.

`--check` changes nothing, and fails where they differ. Written for the words that stand there, and no others: what this
does not know, pyright says of the files that it has made.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "src" / "perdure" / "client"

WORDS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bAsync(Client|BaseTransport|Iterator)\b", r"\1"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|read)\(", r"\1("),
    (r"(?<=The client for code that )awaits\. .*(?=\"\"\"\n)", "waits for each answer."),
)

FIRST = "# Made by tools/make_sync_client.py of ../asynchronous: change that.\n"


def made(text: str) -> str:
    for pattern, instead in WORDS:
        text = re.sub(pattern, instead, text)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--fix-only", "--select", "I,RUF022", "--quiet", "-"],
        input=FIRST + text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet", "-"],
        input=done.stdout, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def main() -> int:
    check = "--check" in sys.argv[1:]
    into = CLIENT / "synchronous"
    into.mkdir(exist_ok=True)
    behind: list[str] = []
    sources = sorted((CLIENT / "asynchronous").glob("*.py"))
    for source in sources:
        target, text = into / source.name, made(source.read_text(encoding="utf-8"))
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            behind.append(target.name)
            if not check:
                target.write_text(text, encoding="utf-8")
    behind += [t.name for t in into.glob("*.py") if t.name not in {s.name for s in sources}]
    if check and behind:
        print(f"behind: {', '.join(behind)}; run tools/make_sync_client.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
