"""`perdure mcp serve`: over standard streams, and what it says where it cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from typer.testing import CliRunner

from perdure.cli.commands import hang
from perdure.cli.root import root
from tests.mcp_server.clients import Person

APP = """
from perdure import App, Run

app = App("sqlite:///here.db")

@app.agent("double", mcp=True)
async def double(run: Run, n: int) -> int:
    "Double a number."
    print("what an agent prints is no message of the protocol")
    return n * 2

@app.agent("asks", mcp=True)
async def asks(run: Run) -> str:
    return "yes" if await run.ask("Shall I?") else "no"

@app.agent("hidden")
async def hidden(run: Run) -> None: ...
"""


async def test_a_client_starts_it_and_works_as_the_user_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text(APP)
    person = Person({"decision": "approve"})
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "perdure.cli", "mcp", "serve", "agents.py:app", "--worker"],
        cwd=str(tmp_path),
    )
    async with Client(stdio_client(command), elicitation_callback=person) as client:  # pyright: ignore[reportArgumentType]
        names = {tool.name for tool in (await client.list_tools()).tools}
        doubled = await client.call_tool("double", {"input": 21})
        asked = await client.call_tool("asks", {})
        found = await client.call_tool("search_runs", {"agent": "double"})

    assert {"double", "asks", "answer_question", "start_run"} <= names
    assert "hidden" not in names
    assert doubled.structured_content["result"] == 42
    assert asked.structured_content["result"] == "yes"
    assert person.shown and "Shall I?" in person.shown[0]
    assert len(found.structured_content["runs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        (["--role", "king"], "", "`king` is no role; roles are viewer, operator"),
        (["--http", "--role", "viewer"], "", "over HTTP a key or token says its roles"),
        (["--http", "--host", "0.0.0.0"], "", "say under which address"),
        ([], '[mcp_serve]\nagents = ["doubl"]\n', "`doubl`, which is not registered"),
        ([], "[mcp_serve]\nwait = 3600\n", "mcp_serve.wait"),
        ([], '[mcp_serve]\nagent = ["double"]\n', "mcp_serve.agent"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    tmp_path: Path, arguments: list[str], settings: str, says: str
) -> None:
    module = tmp_path / f"{tmp_path.name}.py"  # a process knows a module's name once
    module.write_text(APP)
    (tmp_path / "perdure.toml").write_text(settings)
    hang()
    where = ["--config", str(tmp_path / "perdure.toml"), "--store", f"sqlite:///{tmp_path}/here.db", "--json"]
    result = CliRunner().invoke(root, [*where, "mcp", "serve", f"{module}:app", *arguments])

    assert result.exit_code == 2, result.output
    assert says in json.loads(result.stdout)["error"]["message"]
