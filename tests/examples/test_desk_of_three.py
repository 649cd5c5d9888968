"""The desk over three MCP servers: its demo as a user runs it, and its own two servers alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run
from tests.context.real_servers import of_npm

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "desk_of_three"


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """In a process group of its own, so that nothing of it outlives a test that fails."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "demo.py"), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=500)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("files", ["its own", "of npm"])
def test_every_promise_holds(tmp_path: Path, files: str) -> None:
    pytest.importorskip("pydantic_ai", reason="the desk talks to its model through the extra `models`")
    theirs: list[str] = []
    if files == "of npm":
        server = of_npm("filesystem")
        theirs = ["--files", " ".join([server["command"], *server["args"]])]
    ended = demo("--json", "--keep", tmp_path / "kept", *theirs)
    assert ended.stdout, ended.stderr
    played: dict[str, Any] = json.loads(ended.stdout)
    assert [what for what, holds in played["checks"].items() if not holds] == []
    assert (played["ok"], ended.returncode) == (True, 0)
    assert len(played["checks"]) == 6


async def test_one_agent_asks_two_servers_without_plumbing(tmp_path: Path) -> None:
    contracts = EXAMPLE / "contracts"
    programs = {"crm": [str(tmp_path), str(contracts)], "files": [str(contracts)]}
    app = App(
        "memory://",
        mcp={
            name: {"command": sys.executable, "args": [str(EXAMPLE / "servers" / f"{name}.py"), *arguments]}
            for name, arguments in programs.items()
        },
    )

    @app.agent("desk")
    async def desk(run: Run, customer: str) -> str:
        crm, files = await app.mcp.tools(run, "crm"), await app.mcp.tools(run, "files")
        found = await run.call(crm["get_customer"], customer=customer)
        read = await run.call(files["read_text_file"], path=found.structured["contract"])
        return str(read.text or read.structured)

    async with app:
        for name in programs:
            seen = {tool.name: tool.now for tool in await app.mcp.ls(name) if tool.now is not None}
            await app.mcp.review(name, seen, by="ann")
        assert "Warranty: 24 months" in await (await app.start(desk, "C-7")).result()
