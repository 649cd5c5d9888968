"""A call that has become a task, while the MCP server, or the worker, is killed with SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from perdure import App
from tests.faults.processes import PATIENCE, Nursery, Process, Site, until
from tests.faults.programs import digging

SERVER = Path(__file__).with_name("asking_server.py")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


async def serving(folder: Path, port: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), str(folder), str(port))

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(listens, "the server listens")
    return process


@pytest.mark.soak
@pytest.mark.parametrize("victim", ["server", "worker"])
async def test_a_task_is_found_again_whoever_was_killed(tmp_path: Path, victim: str) -> None:
    folder, port = tmp_path / "desk", free_port()
    folder.mkdir()
    url = f"http://127.0.0.1:{port}/mcp"
    server = await serving(folder, port)
    try:
        async with (
            Nursery() as nursery,
            Site(tmp_path / "site", nursery, url=f"sqlite:///{tmp_path / 'p.db'}") as site,
        ):
            site.app.mcp.settings = dict(App("memory://", mcp={"desk": {"url": url}}).mcp.settings)
            found = await site.app.mcp.ls("desk")
            await site.app.mcp.review("desk", {t.name: t.now for t in found if t.now is not None}, by="ann")
            digging.register(site.app)
            first: Process = await site.worker("digging", SERVER=url)
            run = await site.app.start("digs", "here", run_id="r")

            async def waits() -> bool:  # killed before its id is on disk, nobody would know of the task
                return any(e.key == "desk__dig/task" for e in await site.entries("r"))

            await until(waits, "the task is waited for")

            if victim == "server":
                server.kill()
                await server.wait()
                server = await serving(folder, port)
            else:
                first.send(signal.SIGKILL)
                await first.death()
                await site.worker("digging", SERVER=url)
            (folder / "dug").touch()
            async with asyncio.timeout(PATIENCE):
                assert await run.result() == "found gold"
            await site.entries("r")  # which verify
    finally:
        if server.returncode is None:
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
    assert len((folder / "done").read_text().splitlines()) == 1
