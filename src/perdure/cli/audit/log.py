"""`perdure audit init|key|status|sequence|checkpoint`: the audit log of all runs, and its signed checkpoints."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import audit

if TYPE_CHECKING:
    from ...audit import Signer, VerifierKey

__all__ = ["no_key", "own_key"]


@command(audit, "init")
def init(
    cli: Cli,
    origin: Annotated[
        str | None,
        typer.Option(
            "--origin", metavar="NAME", help="The log's name, as `example.com/audit`: nobody else's."
        ),
    ] = None,
) -> None:
    """Make the key that signs the log's checkpoints, sealed under the master key, which is made too if there is none.

    The log itself is kept without it; what was written before is under the first checkpoint that it signs.
    """
    from ...audit.keys import default_origin, make_key
    from ...identity import MasterKeys

    settings = cli.settings.audit
    path = settings.master_key
    if not (path.exists() or os.environ.get("PERDURE_MASTER_KEY")):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{MasterKeys.new()}\n")
        cli.note(f"made the master key `{path}`; keep a copy elsewhere: without it no key opens")
    name = origin or default_origin(cli.settings.identity.trust_domain)
    made = make_key(settings.key, name, MasterKeys.open(path))
    if cli.json:
        cli.answer({"key": str(made), "origin": made.name, "file": str(settings.key)})
        return
    cli.out.print(str(made), soft_wrap=True)
    cli.note(
        f"Give this line to your auditors: by it they check what `{made.name}` has signed. Its private half is in "
        f"`{settings.key}`; workers that are started from now on sign"
    )


@command(audit, "key")
def key(cli: Cli) -> None:
    """Print the verifier key: what auditors and witnesses check signatures by."""
    found = own_key(cli)
    if found is None:
        raise no_key(cli)
    cli.done(str(found), {"key": str(found), "origin": found.name})


@command(audit, "status")
async def status(cli: Cli) -> int:
    """Show how large the log is, how far behind, what was signed, and what was sent; exit 1 where something was not."""
    from ...audit import newest_checkpoint
    from ...engines.exporter import exports
    from ...views.words import iso, short_span

    async with cli.opened() as app:
        store = app.store
        size, lag = await store.log_size(), await store.log_lag()
        newest, sent = await newest_checkpoint(store), await exports(store)
        now = store.now()
    behind = 0.0 if lag.since is None or not lag.runs else max(0, now - lag.since) / 1e6
    verifier = own_key(cli)
    told: dict[str, Any] = {
        "size": size,
        "lag": {"runs": lag.runs, "seconds": behind},
        "key": None if verifier is None else str(verifier),
        "checkpoint": None
        if newest is None
        else {"size": newest.size, "at": iso(newest.at), "note": newest.note},
        "exports": [
            {"to": name, "size": s.get("size"), "at": iso(s.get("at")), "error": s.get("error")}
            for name, s in sent.items()
        ],
    }
    failed = any(one["error"] for one in told["exports"])
    if cli.json:
        cli.answer(told)
        return Exit.NOT_SO if failed else Exit.OK

    def line(what: str, said: str) -> None:
        cli.out.print(f"{what:<12}{said}", soft_wrap=True, highlight=False, markup=False)

    line("log", f"{size} heads of runs")
    line("behind", f"{lag.runs} runs, {short_span(round(behind * 1e6))}" if lag.runs else "nothing")
    if newest is None:
        line(
            "checkpoint",
            "none: `perdure audit init` makes the key that signs" if verifier is None else "none yet",
        )
    else:
        unsigned = f", {size - newest.size} since" if size > newest.size else ""
        line("checkpoint", f"of {newest.size}, {short_span(max(0, now - newest.at))} ago{unsigned}")
    for one in told["exports"]:
        at = sent[one["to"]].get("at")
        when = "never" if at is None else f"{one['size']}, {short_span(max(0, now - at))} ago"
        line("sent", f"{one['to']}: {when}" + (f"; {one['error']}" if one["error"] else ""))
    if not sent:
        line("sent", "nowhere: a rewritten log would pass; set `to` in the table [audit] of perdure.toml")
    return Exit.NOT_SO if failed else Exit.OK


@command(audit, "sequence")
async def sequence(
    cli: Cli,
    once: Annotated[bool, typer.Option("--once", help="Integrate what there is, then end.")] = False,
) -> None:
    """Integrate heads of runs into the log, and send checkpoints, until Ctrl-C. Every worker does so by itself."""
    from ...engines.exporter import CheckpointExporter
    from ...engines.sequencer import Sequencer
    from ..workers.worker import logs, on_stop

    signer = _signer(cli)
    settings = cli.settings.audit
    async with cli.opened() as app:
        sequencer = Sequencer(app.store, signer)
        if once:
            size = await sequencer.catch_up()
            cli.done(f"{size} heads of runs in the log", {"size": size})
            return
        logs(cli)
        stop = asyncio.Event()
        on_stop(cli, stop.set)
        tasks = [asyncio.create_task(sequencer.run())]
        if signer is not None and settings.to:
            tasks.append(asyncio.create_task(CheckpointExporter.of(app.store, settings).run()))
        cli.done("integrating", {"event": "ready", "pid": os.getpid()})
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@command(audit, "checkpoint")
async def checkpoint(
    cli: Cli,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="PLACE", help="A folder, s3://BUCKET/PREFIX or witness+URL; repeatable."
        ),
    ] = None,
) -> int:
    """Sign the log as it is now and send that to the places of the settings, or of `--to`; without any, print it."""
    from ...audit import newest_checkpoint
    from ...engines.exporter import CheckpointExporter
    from ...engines.sequencer import Sequencer

    signer = _signer(cli)
    if signer is None:
        raise no_key(cli)
    settings = cli.settings.audit
    if to:
        settings = settings.model_copy(update={"to": tuple(to)})
    async with cli.opened() as app:
        await Sequencer(app.store, signer).catch_up()
        newest = await newest_checkpoint(app.store)
        assert newest is not None
        found = await CheckpointExporter.of(app.store, settings).send_all()
        newest = await newest_checkpoint(app.store) or newest
    if cli.json:
        cli.answer(
            {"size": newest.size, "note": newest.note, "exports": [{"to": n, **s} for n, s in found.items()]}
        )
    elif not found:
        typer.echo(newest.note, nl=False)
    else:
        for name, state in found.items():
            said = state["error"] or f"a checkpoint of {state['size']} heads is there"
            cli.out.print(f"{name}: {said}", soft_wrap=True, highlight=False, markup=False)
    return Exit.NOT_SO if any(state["error"] for state in found.values()) else Exit.OK


def own_key(cli: Cli) -> VerifierKey | None:
    """The public half of the key that signs here; None: there is none."""
    from ...audit.keys import public_key

    return public_key(cli.settings.audit.key)


def no_key(cli: Cli) -> ConfigError:
    """What is said to whoever needs a key where there is none."""
    return ConfigError(f"the audit log has no key `{cli.settings.audit.key}`; `perdure audit init` makes one")


def _signer(cli: Cli) -> Signer | None:
    from ...app.auditing import audit_signer

    return audit_signer(cli.settings.audit)
