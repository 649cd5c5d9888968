"""`perdure worker`: drive due runs until asked to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ...core.errors import ConfigError
from ...core.labels import check_labels
from ..arguments import duration
from ..command import Cli, command
from ..outcome import Exit
from ..tree import root

if TYPE_CHECKING:
    from ...app import App
    from ...engines import Worker, WorkerOptions

__all__ = ["SESSION_VARIABLE", "leave_at_once", "logs", "on_stop", "with_settings", "work"]

SESSION_VARIABLE = "PERDURE_WORKER_SESSION"
"""Set by the process that started this one: the id under which it will end our lease if we die, over whose pipe
(our standard input) we learn that it has died itself."""

LOOK_SECONDS = 0.05


@command(root, "worker", rich_help_panel="Work")
async def worker(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    concurrency: Annotated[
        int | None, typer.Option("-n", "--concurrency", min=1, help="Runs driven at once by a process.")
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=256, help="Worker processes; one that dies is replaced.")
    ] = 1,
    lease: Annotated[
        str | None, typer.Option("--lease", metavar="10s", help="How long a frozen worker keeps its runs.")
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace", metavar="30s", help="How long steps under way may take when it is asked to stop."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Exit when nothing is due.")] = False,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="What this worker offers, as `gpu`; repeatable."),
    ] = None,
) -> int:
    """Drive due runs. SIGTERM or Ctrl-C: finish or release them, then exit 0; a second Ctrl-C: at once."""
    logs(cli)
    for option, value in (("--lease", lease), ("--grace", grace)):
        if value is not None:
            duration(value, what=option)
    offered = check_labels(label or (), what="a label")
    if processes > 1:
        from .supervisor import Supervisor

        repeated = (("-n", concurrency), ("--lease", lease), ("--grace", grace))
        arguments = [word for flag, value in repeated if value is not None for word in (flag, str(value))]
        arguments += ["--once"] if once else []
        arguments += [word for one in offered for word in ("--label", one)]
        return await Supervisor(cli, target, arguments, processes=processes).run()
    app = cli.load_app(target)
    return await work(
        cli, app, concurrency=concurrency, lease=lease, grace=grace, once=once, labels=frozenset(offered)
    )


async def work(
    cli: Cli,
    app: App,
    *,
    concurrency: int | None = None,
    lease: str | None = None,
    grace: str | None = None,
    once: bool = False,
    labels: frozenset[str] = frozenset(),
) -> int:
    """One worker in this process, until a signal, or with `once` until nothing is due."""
    from ...core.ids import new_id

    if not app.agents:
        name = (app.target or ":app").rpartition(":")[2]
        raise ConfigError(f"`{app.target}` registers no agent: write `@{name}.agent(…)`")
    session = os.environ.pop(SESSION_VARIABLE, None)
    options = replace(app.options, session=session or f"w-{new_id()[:12]}")
    options = with_settings(cli, options)
    if labels:
        options = replace(options, labels=labels)
    if concurrency is not None:
        options = replace(options, concurrency=concurrency)
    if lease is not None:
        options = replace(options, lease=duration(lease, what="--lease"))
    if grace is not None:
        options = replace(options, grace=duration(grace, what="--grace"))
    await app.open()
    try:
        made = app.new_worker(options)
        stop = on_stop(cli, lambda: _stop(cli, made))
        if session is not None:
            asyncio.get_running_loop().add_reader(0, _orphaned, stop)
        ready = asyncio.Event()
        announced = asyncio.create_task(_announce(cli, app, ready, options.concurrency))
        watching = (
            asyncio.create_task(_stop_when_idle(app, made, ready, str(options.session))) if once else None
        )
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not look at it again and again
        try:
            await made.run(ready)
        finally:
            gc.unfreeze()
            for task in (announced, watching):
                if task is not None:
                    task.cancel()
        if watching is not None and watching.done() and not watching.cancelled():
            watching.result()
        driven = f"{made.driven} claim{'' if made.driven == 1 else 's'} driven"
        if cli.json:
            cli.answer({"event": "stopped", "pid": os.getpid(), "driven": made.driven, "left": made.busy})
        elif made.busy:
            cli.note(
                f"stopped, {driven}; of {_runs(made.busy)} a step went on too long: other workers may take over"
            )
        else:
            cli.note(f"stopped in good order, {driven}")
    finally:
        await app.close()
    await asyncio.sleep(0)  # what has just ended is counted out
    if made.busy:
        leave_at_once(Exit.OK)
    return Exit.OK


def with_settings(cli: Cli, options: WorkerOptions) -> WorkerOptions:
    """The app's own options, but for what `perdure.toml` and variables set."""
    settings = cli.settings
    if cli.is_set("concurrency"):
        options = replace(options, concurrency=settings.concurrency)
    if cli.is_set("lease"):
        options = replace(options, lease=settings.lease)
    if cli.is_set("labels"):
        options = replace(options, labels=frozenset(settings.labels))
    if cli.is_set("tenant_limit"):
        options = replace(options, tenant_limit=settings.tenant_limit)
    return options


def leave_at_once(code: int) -> NoReturn:
    """End the process although threads of steps still run: they cannot be stopped, and an exit would wait for them."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop(cli: Cli, worker: Worker) -> None:
    if cli.json:
        cli.answer({"event": "stopping", "pid": os.getpid(), "busy": worker.busy})
    elif worker.busy:
        cli.note(
            f"stopping: {_runs(worker.busy)} under way; steps that have begun are finished. Ctrl-C again: at once"
        )
    worker.stop()


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def on_stop(cli: Cli, stop: Callable[[], None]) -> Callable[[], None]:
    """Call `stop` at the first SIGTERM or SIGINT; a second SIGINT ends the process where it stands."""
    asked = False

    def once() -> None:
        nonlocal asked
        if not asked:
            asked = True
            stop()

    def interrupted() -> None:
        if asked:
            cli.note("stopped at once: what was under way is taken over when the lease has run out")
            leave_at_once(Exit.INTERRUPTED)
        once()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, once)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    return once


def _orphaned(stop: Callable[[], None]) -> None:
    """Nobody writes into the pipe: it is readable when whoever holds its other end has gone."""
    asyncio.get_running_loop().remove_reader(0)
    stop()


async def _announce(cli: Cli, app: App, ready: asyncio.Event, concurrency: int) -> None:
    from ...core.settings import shown_url  # pydantic is slow to import: not for `--help`

    await ready.wait()
    names = sorted({name for name, _ in app.agents})
    if cli.json:
        cli.answer({"event": "ready", "pid": os.getpid(), "store": shown_url(app.store.url), "agents": names})
    else:
        cli.note(
            f"worker {os.getpid()} drives {', '.join(names)} on {shown_url(app.store.url)}, {concurrency} at once"
        )


async def _stop_when_idle(app: App, worker: Worker, ready: asyncio.Event, session: str) -> None:
    """Stop once nothing is due and this worker holds nothing, not even a claim that is on its way to it."""
    from ...journal import RunQuery, RunStatus

    await ready.wait()
    store = app.store
    running = RunQuery(statuses=frozenset({RunStatus.RUNNING}), limit=100_000)
    try:
        while True:
            seen = store.changes()
            await store.recover()
            due = await store.next_timer()
            waits = [d for d in await store.demands() if worker.serves(d)]
            if not worker.busy and not waits and (due is None or due > store.now()):
                ours = [r for r in await store.find(running) if r.session == session]
                if not ours and not worker.busy:
                    return
            await store.changed(seen, within=LOOK_SECONDS)
    finally:
        worker.stop()


def logs(cli: Cli) -> None:
    """What the runtime has to say goes to stderr."""
    if cli.settings.telemetry.logs == "json":
        from ...telemetry.logs import JsonLines

        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        logging.getLogger("perdure").setLevel(logging.INFO)
        return
    logging.basicConfig(
        level=logging.INFO if cli.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
