"""`perdure audit feed`: what happens, for a SIEM, as OCSF events in JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ... import __version__
from ...core.errors import ConfigError
from ..command import Cli, command
from ..tree import audit

if TYPE_CHECKING:
    from ...audit.feed import Cursor, Feed

__all__: list[str] = []

MOST = 500
"""Events that are written before the cursor is kept."""


@command(audit, "feed")
async def feed(
    cli: Cli,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="CURSOR", help="Behind this event's `unmapped.cursor`; 0: all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Append to it; goes on where it stopped, by FILE.cursor."),
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option("--cursor", metavar="FILE", help="Keep the cursor there, and go on from it."),
    ] = None,
    contents: Annotated[
        bool,
        typer.Option(
            "--with-arguments", help="Also arguments, results, prompts, reasons: they may be personal."
        ),
    ] = False,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
) -> None:
    """Print what happens as OCSF events, one JSON line each: each at least once, under an id that stays.

    Without `--since` and without a cursor that was kept it begins with the first entry. Names, numbers and digests are
    in it, and nothing that a person wrote or a tool returned, unless `--with-arguments` asks for that.
    """
    from ...audit.feed import Cursor, Feed

    place = kept or (None if out is None else out.with_name(out.name + ".cursor"))
    start = Cursor.parse(since) if since is not None else _kept(place)
    async with cli.opened() as app:
        going = Feed(app.store, tenant=None if all_tenants else app.tenant, since=start)
        await going.check()
        line = _Line(going, out, place, contents=contents)
        sending = asyncio.ensure_future(line.send(follow=follow))
        if follow:
            from ..workers.worker import on_stop

            def stop() -> None:
                sending.cancel()

            on_stop(cli, stop)
        try:
            await sending
        except asyncio.CancelledError:
            line.write()
    if out is not None:
        cli.note(f"up to cursor {going.cursor} in {out}")


class _Line:
    """Writes events by batches, and keeps the cursor once they are written."""

    def __init__(self, feed: Feed, out: Path | None, place: Path | None, *, contents: bool) -> None:
        self._feed = feed
        self._out = out
        self._place = place
        self._contents = contents
        self._lines: list[str] = []
        self._reached = feed.cursor

    async def send(self, *, follow: bool) -> None:
        """All there is; with `follow`, until it is cancelled."""
        from ...audit.ocsf import event_of

        async for sent in self._feed.facts(follow=follow):
            if sent is None:
                self._reached = self._feed.cursor
                self.write()
                continue
            cursor = str(sent.cursor)
            event = event_of(sent.fact, release=__version__, cursor=cursor, contents=self._contents)
            self._lines.append(json.dumps(event, separators=(",", ":"), default=repr))
            self._reached = sent.cursor
            if len(self._lines) >= MOST:
                self.write()

    def write(self) -> None:
        """What was not written yet, then the cursor: who dies between the two sends it again."""
        _write(self._lines, self._out)
        _keep(self._reached, self._place)
        self._lines = []


def _write(lines: list[str], out: Path | None) -> None:
    """Each time anew: whoever rotates the file need not tell us."""
    if not lines:
        return
    text = "\n".join(lines) + "\n"
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _kept(place: Path | None) -> Cursor:
    from ...audit.feed import Cursor

    if place is None or not place.is_file():
        return Cursor()
    try:
        return Cursor.parse(place.read_text(encoding="utf-8"))
    except ConfigError as error:
        raise ConfigError(f"`{place}` holds no cursor: {error}") from None


def _keep(cursor: Cursor, place: Path | None) -> None:
    """Only once what is before it was written."""
    if place is None:
        return
    beside = place.with_name(f".{place.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(f"{cursor}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(place)
