"""The bundle's pages: HTML that an auditor reads offline, in which nothing that anybody wrote can act or deceive.

Templates escape all that they are given, the pages hold no script and may load nothing (their policy says so, too), and
text in which something hides or passes for something else is shown escaped, with a mark.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from .attention import Attention, People
from .deeds import Deeds
from .fact import Deed, Enquiry, Fact
from .wording import Wording, as_text, flagged, moment, span, title, tone

if TYPE_CHECKING:
    from .bundle import RunTold
    from .search import Selection

__all__ = ["Pages", "RunPage"]

FACTS = 400
"""on a page"""

LISTED = 500
"""Calls and questions on the first page; all of them are in their files."""

RUNS = 1000
"""on a page"""


class Pages:
    """Writes the pages of one bundle."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        style = files("perdure.audit").joinpath("templates", "style.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._env = Environment(
            loader=PackageLoader("perdure.audit"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters.update(  # pyright: ignore[reportUnknownMemberType]  # of jinja2
            shown=_shown, json=_json, flags=flagged, moment=moment, span=span
        )
        self._env.globals.update(  # pyright: ignore[reportUnknownMemberType]  # of jinja2
            style=Markup(style),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            title_of=title,
            tone_of=tone,
            words=Wording,
        )
        self._attention = Attention()
        self._people = People()
        self._deeds: list[tuple[RunTold, Deed]] = []
        self._questions: list[tuple[RunTold, Enquiry]] = []
        self._more = 0

    @contextmanager
    def run(self, run: RunTold) -> Generator[RunPage]:
        """The page of one run, while its facts come."""
        yield RunPage(self, run)

    def add(self, run: RunTold, deeds: Deeds) -> None:
        """What the first page says of a run that was written."""
        self._attention.see(run, deeds)
        self._people.see(run, deeds)
        changes = [deed for deed in deeds.done if deed.effect != "read"]
        for kept, found in ((self._deeds, changes), (self._questions, deeds.enquiries)):
            room = LISTED - len(kept)
            kept.extend((run, one) for one in islice(found, max(room, 0)))  # type: ignore[arg-type,misc]
            self._more += max(len(found) - max(room, 0), 0)

    def index(
        self,
        runs: Sequence[RunTold],
        wanted: Selection,
        *,
        made_at: str,
        made_by: str,
        checkpoint: str | None,
    ) -> None:
        """The first page, and those with the runs for which it has no room."""
        parts = [runs[i : i + RUNS] for i in range(0, len(runs), RUNS)] or [[]]
        names = ["index.html", *(f"runs-{n}.html" for n in range(2, len(parts) + 1))]
        told: dict[str, Any] = {
            "wanted": wanted.to_json(),
            "made_at": made_at,
            "made_by": made_by,
            "checkpoint": checkpoint,
            "all_runs": runs,
            "names": names,
            "root": "",
            "notes": self._attention.notes,
            "unnoted": self._attention.more,
            "people": self._people.rows(),
            "deeds": self._deeds,
            "questions": self._questions,
            "more": self._more,
        }
        for n, (name, part) in enumerate(zip(names, parts, strict=True)):
            self.write(name, "index.html" if n == 0 else "runs.html", {**told, "runs": part, "number": n + 1})

    def write(self, name: str, template: str, told: dict[str, Any]) -> None:
        """One page."""
        text = self._env.get_template(template).render(told)
        (self._folder / name).write_text(text, encoding="utf-8")


class RunPage:
    """The page of one run; where there is much to tell, its facts are on pages of their own."""

    def __init__(self, pages: Pages, run: RunTold) -> None:
        self._pages = pages
        self._run = run
        self._rows: list[Fact] = []
        self._parts = 0
        self._quiet = 0

    def add(self, fact: Fact) -> None:
        """The next fact."""
        if fact.quiet:
            self._quiet += 1
            return
        if len(self._rows) == FACTS:
            self._flush()
        self._rows.append(fact)

    def _flush(self) -> None:
        self._parts += 1
        told = {"run": self._run, "facts": self._rows, "number": self._parts, "root": "../../"}
        self._pages.write(f"{self._run.page}/timeline-{self._parts}.html", "timeline.html", told)
        self._rows = []

    def end(self, deeds: Deeds) -> None:
        """Write what is left, with what was done and asked."""
        if self._parts:
            self._flush()
        told = {
            "run": self._run,
            "facts": self._rows,
            "parts": self._parts,
            "quiet": self._quiet,
            "deeds": deeds.done,
            "questions": deeds.enquiries,
            "root": "../../",
        }
        self._pages.write(f"{self._run.page}/index.html", "run.html", told)


def _shown(value: object, *, lines: bool = False) -> Markup:
    """Text as an eye may trust it: escaped where something hides, with a mark where something was odd."""
    if value is None:
        return Markup("")
    text = str(value)
    safe = escape(as_text(text, lines=lines))
    return Markup('<span class="odd">{}</span>').format(safe) if flagged(text) else safe


def _json(value: object) -> Markup:
    """A JSON value for reading, each of its texts as `_shown`."""
    from .wording import json_text

    return _shown_json(json_text(value), flagged(value))


def _shown_json(text: str, odd: Sequence[str]) -> Markup:
    return Markup("<pre{}>{}</pre>").format(Markup(' class="odd"') if odd else "", text)
