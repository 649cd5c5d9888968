"""Builds the documentation into site/, strictly: a dead link, a page without a place or a place without a page fails.

Zensical checks links between pages, and their anchors. It says nothing of a navigation entry without its page,
a page without an entry, and links to other files; those are checked here first. Links that leave the site are not
followed: the build works without a network.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = re.compile(r"^([a-z][a-z0-9+.-]*:|//|#)")


def listed(nav: Any) -> Iterator[str]:
    """Paths that a navigation tree names, at any depth."""
    match nav:
        case str():
            yield nav
        case list() | dict():
            for item in nav.values() if isinstance(nav, dict) else nav:
                yield from listed(item)
        case _:
            pass


def links(tokens: list[Token]) -> Iterator[tuple[str, int]]:
    """Targets of links and images with the line of their paragraph."""
    for block in tokens:
        for token in block.children or []:
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                yield str(target), (block.map or [0])[0] + 1


def faults() -> Iterator[str]:
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    placed = list(listed(project["nav"]))
    pages = {page.relative_to(DOCS).as_posix(): page for page in sorted(DOCS.rglob("*.md"))}
    for path in sorted(set(placed) - set(pages)):
        yield f"zensical.toml: nav names `{path}`, and there is no docs/{path}"
    for path in sorted(set(pages) - set(placed)):
        yield f"docs/{path}: has no place in the nav of zensical.toml: add its line"
    parser = MarkdownIt("commonmark").enable("table")
    for page in [*pages.values(), *sorted(ROOT.glob("*.md"))]:
        on_site = page.is_relative_to(DOCS)
        for target, line in links(parser.parse(page.read_text(encoding="utf-8"))):
            path = target.split("#")[0].split("?")[0]
            if ELSEWHERE.match(target) or (on_site and path.endswith(".md")):
                continue  # between pages: zensical's
            file = (page.parent / path).resolve()
            where = f"{page.relative_to(ROOT)}:{line}"
            if not file.exists():
                yield f"{where}: links to `{target}`, which does not exist"
            elif on_site and not file.is_relative_to(DOCS):
                yield f"{where}: links to `{target}`, which is not on the site: name it in backticks"


def main() -> int:
    found = list(faults())
    for fault in found:
        print(fault, file=sys.stderr)
    if found:
        return 1
    shutil.rmtree(ROOT / "site", ignore_errors=True)  # zensical leaves pages that are gone
    zensical = Path(sys.executable).parent / "zensical"
    return subprocess.run([zensical, "build", "--strict", "--clean"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
