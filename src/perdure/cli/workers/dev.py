"""`perdure dev`: a server with a worker that is started again whenever a file changes, and what its runs do."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import Process
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import root
from .serve import PORT
from .worker import on_stop

if TYPE_CHECKING:
    from ...core.ids import RunRef
    from ...journal import Store

__all__ = ["Reloader"]

LEAVE_SECONDS = 10.0
"""How long the old worker may finish the steps it has begun; in production it has longer."""

AGAIN_SECONDS = 0.5
"""Before a worker that died is started again."""


@command(root, "dev", rich_help_panel="Work")
async def dev(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Of the pages and the API; where taken, another.")
    ] = PORT,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Whether there are any.")] = True,
) -> int:
    """Work while you write: pages, API and a worker, started again when a file changes; prints what runs do."""
    named = target or cli.target()
    if named is None:
        raise ConfigError("no app is named: `perdure dev path.py:attribute`; `perdure init` writes one")
    served = _free(port) if serve and _can_serve(cli) else None
    return await Reloader(cli, target, _watched(cli, named, bool(target)), port=served).run()


def _can_serve(cli: Cli) -> bool:
    from importlib.util import find_spec

    if find_spec("fastapi") and find_spec("uvicorn"):
        return True
    cli.note('no pages and no API: `pip install "perdure[serve]"` brings them')
    return False


def _free(port: int) -> int:
    """That port, or, where somebody has it, another one that stays the same over all restarts."""
    for wanted in (port, 0):
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return held.getsockname()[1]
    return 0


def _watched(cli: Cli, target: str, typed: bool) -> Path:
    from ..target import is_file, split_target

    base = Path.cwd() if typed else cli.folder
    place, _ = split_target(target)
    return (base / place).resolve().parent if is_file(place) else base


class Reloader:
    """One worker process after another; with a `port`, each serves there, too."""

    def __init__(self, cli: Cli, target: str | None, folder: Path, *, port: int | None = None) -> None:
        self._cli = cli
        self._target = target
        self._folder = folder
        self._command = "worker" if port is None else "serve"
        self._arguments = [] if port is None else ["--worker", "--port", str(port)]
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._store: Store | None = None

    async def run(self) -> int:
        """Until Ctrl-C."""
        on_stop(self._cli, self._stopping.set)
        tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._tell())]
        for task in tasks:
            task.add_done_callback(lambda _: self._stopping.set())
        try:
            while not self._stopping.is_set():
                await self._one_worker()
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            if self._store is not None:
                await self._store.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return Exit.OK

    async def _watch(self) -> None:
        from watchfiles import PythonFilter
        from watchfiles import awatch as watch  # pyright: ignore[reportUnknownVariableType]  # a type of anyio's

        self._cli.note(f"watching {self._folder}; Ctrl-C stops")
        if not self._cli.is_set(
            "approvals"
        ):  # not switched on unasked: who is alone here, only its owner knows
            self._cli.note(
                "nobody approves what they have started themselves; `self_approval = true` under `[approvals]` in "
                "perdure.toml is for whoever works alone"
            )
        async for changes in watch(
            self._folder, watch_filter=PythonFilter(extra_extensions=(".toml",)), stop_event=self._stopping
        ):
            names = sorted({Path(path).name for _, path in changes})
            self._say(f"{', '.join(names[:3])} changed", {"event": "changed", "files": names})
            self._changed.set()

    async def _one_worker(self) -> None:
        from ...core.ids import new_id
        from .supervisor import spawn

        self._changed.clear()
        session = f"w-{new_id()[:12]}"
        process = await spawn(self._cli, self._target, self._arguments, session=session, name=self._command)
        ended = asyncio.create_task(process.wait())
        await self._until(ended)
        if not ended.done():
            await _leave(process)
        code = await ended
        if code != 0:
            await self._let_go(session)
        if self._stopping.is_set() or self._changed.is_set():
            return
        if code == Exit.USAGE:
            self._say("waiting for a change", {"event": "waiting"})
            await self._until(None)
            return
        self._say(f"the worker ended with {code}; another starts", {"event": "died", "code": code})
        await asyncio.sleep(AGAIN_SECONDS)

    async def _until(self, ended: asyncio.Task[int] | None) -> None:
        """Return at a change, at the end of the worker, or of us."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stopping, self._changed)]
        await asyncio.wait([*waits, *([ended] if ended else [])], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _let_go(self, session: str) -> None:
        if self._store is not None:
            await self._store.expire(session)
            await self._store.recover()

    async def _open(self) -> Store:
        from ...app import open_store

        while True:
            try:
                app = self._cli.load_app(self._target)
                url = app.store.url
                break
            except ConfigError:  # the worker says it; we look again at the next change
                await self._changed.wait()
                await asyncio.sleep(AGAIN_SECONDS)
        if url == "memory://":
            raise ConfigError("`perdure dev` needs a store that outlives its worker: `sqlite:///PATH`")
        store = open_store(url)
        await store.open()
        self._store = store
        return store

    async def _tell(self) -> None:
        """Print what runs do."""
        from ..display.events import Teller, entry_json
        from ..display.follow import follow_all

        store = await self._open()
        tellers: dict[RunRef, Teller] = {}
        tenant = self._cli.given.tenant or self._cli.settings.tenant
        async for record, entries in follow_all(store, tenant):
            teller = tellers.setdefault(
                record.ref, Teller(self._cli.out, verbose=bool(self._cli.verbose), name=record.ref.id)
            )
            for entry in entries:
                if self._cli.json:
                    self._cli.answer({"event": "entry", "run": record.ref.id, **entry_json(entry)})
                elif (line := teller.line(entry)) is not None:
                    self._cli.out.print(line, soft_wrap=True)

    def _say(self, text: str, value: dict[str, object]) -> None:
        if self._cli.json:
            self._cli.answer(value)
        else:
            self._cli.note(text)


async def _leave(process: Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
