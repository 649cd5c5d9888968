"""`perdure audit verify|prove`: whether the past is what was written; the proof of one run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, UnknownRun
from ..command import Cli, command, show_error
from ..outcome import Exit
from ..tree import audit
from .log import own_key

if TYPE_CHECKING:
    from ...audit import Fault, OpenedCheckpoint, VerifierKey

__all__: list[str] = []

Seen = Callable[[str, int, int], None]


@command(audit, "verify")
async def verify(
    cli: Cli,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="DIR|FILE.zip", help="Verify a bundle: no store is needed, nor asked."
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="One that you hold, or a folder of them; - for stdin. Repeatable.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="VKEY", help="Whose signatures count, as `audit key` prints it. Repeatable."
        ),
    ] = None,
) -> int:
    """Verify every chain, the log over all of them, and its checkpoints; exit 1 where anything was changed.

    Without --checkpoint and --key only what a careless hand has changed can be seen: whoever can write the store and
    has the key can write it all anew. A checkpoint that was sent elsewhere is what he cannot take back.
    """
    keys = _keys(cli, key)
    held = [note for path in checkpoint or () for note in _notes(path)]
    if export is not None:
        with _unpacked(export) as folder:
            return _bundle(cli, folder, keys, held, name=str(export))
    return await _store(cli, keys, held)


@contextlib.contextmanager
def _unpacked(path: Path) -> Generator[Path]:
    """The folder of a bundle that may be one file."""
    import tempfile
    import zipfile

    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="perdure-bundle-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # which leads no name out of the folder
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise ConfigError(f"`{path}` is neither a folder nor a readable .zip: {error}") from error
        yield Path(folder)


def _bundle(cli: Cli, folder: Path, keys: Sequence[VerifierKey], held: Sequence[bytes], *, name: str) -> int:
    from ...audit.bundles import verify_bundle

    with _progress(cli) as seen:
        found = verify_bundle(folder, keys, held=held, seen=lambda done, of: seen("runs", done, of))
    told = {
        "export": name,
        "runs": found.runs,
        "entries": found.entries,
        "unproven": found.unproven,
        "checkpoint": _told(found.checkpoint),
        "held": found.held,
        "faults": [fault.to_json() for fault in found.faults],
    }
    size = found.checkpoint.checkpoint.size
    said = f"{found.runs} runs, {found.entries} entries: all are what was written, under a checkpoint of {size} heads"
    later = f"; {found.unproven} entries came after it" if found.unproven else ""
    return _end(cli, told, found.faults, said + later, [found.checkpoint])


async def _store(cli: Cli, keys: Sequence[VerifierKey], held: Sequence[bytes]) -> int:
    from ...audit.verification import verify_store

    if not keys and (own := own_key(cli)) is not None:
        keys = [own]
    async with cli.opened() as app:
        with _progress(cli) as seen:
            found = await verify_store(app.store, keys, held=held, seen=seen)
    newest = found.checkpoints[0] if found.checkpoints else None
    told = {
        "runs": found.runs,
        "entries": found.entries,
        "leaves": found.leaves,
        "behind": found.behind,
        "checkpoint": None if newest is None else _told(newest),
        "held": [_told(opened) for opened in found.held],
        "faults": [fault.to_json() for fault in found.faults],
    }
    said = f"{found.runs} runs, {found.entries} entries, {found.leaves} heads in the log: all are what was written"
    if found.behind:
        said += f"; of {found.behind} runs the log has not seen the newest entries yet"
    code = _end(cli, told, found.faults, said, [] if newest is None else [newest])
    if code == Exit.OK and not found.held:
        cli.note(
            "by its own word: against a log that was written anew as a whole only `--checkpoint FILE` helps"
        )
    return code


def _end(
    cli: Cli,
    told: dict[str, Any],
    faults: Sequence[Fault],
    said: str,
    checkpoints: Sequence[OpenedCheckpoint],
) -> int:
    if cli.json:
        cli.answer({**told, "sound": not faults})
    elif faults:
        for fault in faults:
            show_error(fault.message)
    else:
        cli.done(said, told)
        for opened in checkpoints:
            for by in opened.signed_by:
                when = "" if by.at is None else f" at {_time(by.at)}"
                cli.out.print(f"signed by {by.name}{when}", soft_wrap=True, highlight=False, markup=False)
            if not opened.signed_by:
                cli.note("nobody's signature was checked: `--key VKEY` says whose counts")
    return Exit.NOT_SO if faults else Exit.OK


@command(audit, "prove")
async def prove_run(
    cli: Cli,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id.")],
) -> None:
    """Print the proof that a run's journal is in the log: its leaf, the way to the root, the signed checkpoint."""
    import json

    from ...audit.proofs import prove

    async with cli.opened() as app:
        ref = app.ref(run)
        record = await app.store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
        proof = await prove(app.store, record)
    typer.echo(json.dumps(proof.to_json(), indent=None if cli.json else 1))


def _keys(cli: Cli, given: Sequence[str] | None) -> list[VerifierKey]:
    from ...audit import VerifierKey

    return [VerifierKey.parse(text) for text in given or ()]


def _notes(path: Path) -> list[bytes]:
    """The checkpoints of a file, of a folder that they were sent to, or of stdin."""
    if str(path) == "-":
        return [sys.stdin.buffer.read()]
    files = [path]
    if path.is_dir():
        files = [f for f in sorted(path.glob("checkpoints/*")) or sorted(path.glob("*")) if f.is_file()]
    try:
        found = [file.read_bytes() for file in files]
    except OSError as error:
        raise ConfigError(f"the checkpoint `{path}` cannot be read: {error}") from error
    if not found:
        raise ConfigError(f"`{path}` holds no checkpoint")
    return found


def _told(opened: OpenedCheckpoint) -> dict[str, Any]:
    told = opened.checkpoint
    return {
        "origin": told.origin,
        "size": told.size,
        "root": told.root.hex(),
        "signed_by": [
            {"name": by.name, "at": None if by.at is None else _time(by.at)} for by in opened.signed_by
        ],
    }


def _time(seconds: int) -> str:
    from ...views.words import iso

    return str(iso(seconds * 1_000_000))


@contextlib.contextmanager
def _progress(cli: Cli) -> Generator[Seen]:
    if cli.json or not cli.err.is_terminal:
        yield lambda what, done, of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=cli.err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def seen(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"verifying {what}", total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield seen
