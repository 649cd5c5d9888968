"""Executes the code blocks of one Markdown page: `python tests/docs/page.py docs/PAGE.md`.

Run it as a process of its own, in an empty folder: blocks may write files, start workers and set signal handlers.
Fences are described in CONTRIBUTING.md. A traceback names the page and the line in it, because that is the file name
and the line number that each block is compiled with.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from markdown_it import MarkdownIt

INFO = re.compile(
    r"""(?P<language>[\w+-]*) \s*
        (?: title="(?P<title>[^"]+)" | \{ (?P<mark> \.[\w-]+ ) (?: \s+ title="(?P<named>[^"]+)" )? \} )?""",
    re.VERBOSE,
)
MARKS = {
    "python": {"file", "notest"},
    "toml": {"notest"},
    "json": {"notest"},
    "sh": {"run"},
    "text": {"output"},
}


class Block(NamedTuple):
    """A fence: `line` is that of its first line of code, counted from one."""

    line: int
    language: str
    marks: set[str]
    title: str | None
    code: str


class Fault(Exception):
    """A fence that is not written as CONTRIBUTING.md says, or whose content does not parse."""


def blocks(text: str) -> Iterator[Block]:
    for token in MarkdownIt("commonmark").parse(text):
        if token.type != "fence" or token.map is None:
            continue
        line = token.map[0] + 2
        info = INFO.fullmatch(token.info.strip())
        marks = {info["mark"].lstrip(".")} if info and info["mark"] else set[str]()
        # the site shows a fence with an info string of another form as plain text
        if info is None or not marks <= MARKS.get(info["language"], set()):
            raise Fault(f"line {line - 1}: fence `{token.info}` is not one of those in CONTRIBUTING.md")
        yield Block(line, info["language"], marks, info["title"] or info["named"], token.content)


def execute(page: Path) -> int:
    """Execute the page's blocks in order; returns how many there were. What a block raises is raised."""
    # `python agent.py` makes the module `__main__`, where pydantic and pickle look its classes up
    module = sys.modules["__main__"] = ModuleType("__main__")
    done = 0
    said = ""
    with asyncio.Runner() as runner:
        for block in blocks(page.read_text(encoding="utf-8")):
            if "notest" in block.marks:
                continue
            if block.title:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.code, encoding="utf-8")
            match block.language:
                case "python":
                    tree = ast.parse("\n" * (block.line - 1) + block.code, filename=str(page))
                    code = compile(tree, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                    if "file" not in block.marks:
                        said = python(code, vars(module), runner)
                case "toml" | "json":
                    try:
                        tomllib.loads(block.code) if block.language == "toml" else json.loads(block.code)
                    except ValueError as error:
                        raise Fault(f"line {block.line}: not {block.language}: {error}") from None
                case "sh" if "run" in block.marks:
                    said = shell(block)
                case "text" if "output" in block.marks:
                    compare(block, said)
                case _:
                    continue
            done += 1
    return done


def python(code: CodeType, namespace: dict[str, object], runner: asyncio.Runner) -> str:
    """Execute a block; what it printed."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, namespace))
            else:
                exec(code, namespace)
    finally:
        print(said.getvalue(), end="", flush=True)
    return said.getvalue()


def shell(block: Block) -> str:
    """Run a block's commands; what a terminal shows. A file, not a pipe: what is left running holds nobody up."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        command = ["bash", "-euo", "pipefail", "-c", block.code]
        result = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False)
        said.seek(0)
        text = said.read()
    print(text, end="", flush=True)
    if result.returncode:
        raise Fault(f"line {block.line}: the commands ended with {result.returncode}")
    return text


def compare(block: Block, said: str) -> None:
    """Hold an output to what was printed: `...` stands for anything, blanks at the ends of lines do not count.

    A line that is `...` alone stands for lines, or for none: when bash tells that a job was killed is its own affair.
    """
    wanted, got = (
        "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines()) for text in (block.code, said)
    )
    pattern = "".join(
        "(?:.*\n)*" if line == "...\n" else re.escape(line).replace(r"\.\.\.", "(?s:.*)")
        for line in wanted.splitlines(keepends=True)
    )
    if not re.fullmatch(pattern, got):
        raise Fault(f"line {block.line}: the block before printed something else:\n{got}")


def main(page: Path) -> int:
    try:
        done = execute(page)
    except Fault as fault:
        print(f"{page}: {fault}", file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exc()
        named = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)
        ]
        line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(page) else None
        print(f"{page}:{line or (named or ['?'])[-1]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{page}: {done} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
