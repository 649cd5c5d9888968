"""`perdure audit export`: the bundle that an auditor takes away."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import ConfigError, PerdureError, UnknownRun
from ..command import Cli, command
from ..complete import run_ids
from ..outcome import Exit
from ..tree import audit
from .search import Agent, From, Person, To, looking, looks_written_up, selection

if TYPE_CHECKING:
    from ...app import App
    from ...audit import Selection
    from ...audit.bundles import Consistency
    from ...journal import KeptCheckpoint

__all__: list[str] = []


@command(audit, "export")
async def export(
    cli: Cli,
    run: Annotated[str | None, typer.Option("--run", help="One run.", autocompletion=run_ids)] = None,
    agent: Agent = None,
    person: Person = None,
    since: From = None,
    until: To = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs of the tenant.")] = False,
    held: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="Prove that the log goes on from this one, too. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR|FILE.zip", help="Where to; a new folder here if not given."),
    ] = None,
) -> int:
    """Write a bundle for an auditor: journals, approvals with what was shown, proofs, and a page to read.

    It can be checked without Perdure and without the store: `python3 verify.py` in it; `perdure audit verify --export`
    checks the checkpoint's signature, too. Exit 1 where the chain of a run does not hold: the bundle says so.
    """
    from ...audit.bundle import write_bundle, zipped

    if not (run or agent or person or since or until or everything):
        raise ConfigError(
            "say of what: `--run ID`, `--agent NAME`, `--person NAME`, `--from 30d`, or `--all`"
        )
    notes = [(path, path.read_bytes()) for path in held or ()]
    async with cli.opened() as app:
        await looks_written_up(app)
        wanted = selection(app, run=run, agent=agent, person=person, since=since, until=until)
        if wanted.run is not None and await app.store.get(app.ref(wanted.run)) is None:
            raise UnknownRun(f"no run `{app.ref(wanted.run)}`; `perdure runs ls` shows what there is")
        target = _target(out, wanted, app.store.now())
        checkpoint = await _newest(cli, app)
        consistency = [await _from(app, path, note, checkpoint) for path, note in notes]
        # Written beside it, where only we can read it, and then put into its place: there is no half of a bundle.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir(mode=0o700)
            with looking(cli) as looked:
                made = await write_bundle(
                    app.store,
                    wanted,
                    folder,
                    made_by=_me(),
                    looked=looked,
                    checkpoint=checkpoint,
                    consistency=consistency,
                )
            if target.suffix == ".zip":
                zipped(folder, Path(scratch) / "bundle.zip")
                folder = Path(scratch) / "bundle.zip"
                folder.chmod(0o600)
            shutil.move(folder, target)
    if made.runs == 0:
        cli.note("no run is meant by that: the bundle is empty, and says so")
    told = {
        "bundle": str(target),
        "runs": made.runs,
        "entries": made.entries,
        "broken": made.broken,
        "manifest_sha256": made.digest,
    }
    cli.done(f"{made.runs} runs with {made.entries} entries in {target}", told)
    if not cli.json:
        where = target if target.suffix != ".zip" else "it, unpacked"
        cli.note(f"read index.html in {where}; check it with `python3 verify.py` there")
        cli.note(f"SHA-256 of its manifest, to be kept elsewhere: {made.digest}")
        for broken in made.broken:
            cli.note(f"the chain of run {broken} does not hold: its page says where")
    return Exit.NOT_SO if made.broken else Exit.OK


async def _newest(cli: Cli, app: App) -> KeptCheckpoint | None:
    """The checkpoint that the bundle is proven under: of all that there is now, where the key is here."""
    from ...app.auditing import audit_signer
    from ...audit import newest_checkpoint
    from ...engines.sequencer import Sequencer

    try:
        signer = audit_signer(cli.settings.audit)
    except PerdureError as error:  # what workers have signed serves, but for the newest entries
        cli.note(f"nothing is signed from here: {error}")
        signer = None
    if signer is not None:
        await Sequencer(app.store, signer).catch_up()
    return await newest_checkpoint(app.store)


async def _from(app: App, path: Path, note: bytes, newest: KeptCheckpoint | None) -> Consistency:
    """That the log goes on from a checkpoint that somebody holds. Raises `ConfigError`."""
    from ...audit import consistency_proof, open_checkpoint
    from ...audit.bundles import Consistency

    old = open_checkpoint(note).checkpoint
    if newest is None or old.size > newest.size:
        raise ConfigError(
            f"the checkpoint `{path}` is of {old.size} heads, and this log has signed {newest.size if newest else 0}: "
            "it is another log, or one that was cut"
        )
    proof = await consistency_proof(app.store, old.size, newest.size)
    return Consistency.model_construct(old=old.size, size=newest.size, path=proof)


def _target(out: Path | None, wanted: Selection, now: int) -> Path:
    """Where the bundle goes. Raises `ConfigError` where something is there."""
    from ...core.clock import from_micros

    if out is None:
        what = wanted.run or wanted.agent or (wanted.person or "").replace(":", "-") or wanted.tenant
        out = Path(f"audit-{what[:60]}-{from_micros(now):%Y%m%dT%H%M%SZ}")
    if out.is_dir() and out.suffix != ".zip" and not any(out.iterdir()):
        out.rmdir()
    if out.exists():
        raise ConfigError(f"`{out}` is there already: name another place by `--out`; nothing is written over")
    parent = out.resolve().parent
    if not parent.is_dir():
        raise ConfigError(f"there is no folder `{parent}` to write into: make it first")
    return parent / out.name


def _me() -> str:
    try:
        return f"user:{getpass.getuser()}"
    except (OSError, KeyError):
        return "unknown"
