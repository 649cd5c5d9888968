"""The public conformance suite and the MCP Inspector, against real servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mcp_server.node import installed, node
from tests.mcp_server.test_command import APP

SUITE = "@modelcontextprotocol/conformance@0.1.16"
NEXT = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
"""It also asks in protocol 2026-07-28, and for tasks."""
NOT_OURS = {
    "tasks-lifecycle": 1,  # a job that ends in an error of the protocol: a run that fails is a completed task
    "tasks-required-task-error": 1,  # a tool that refuses clients without tasks: ours tell them to ask again
}
INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.soak  # minutes, with npm; test_conformance.py asks the same machinery without


@pytest.fixture
def everything() -> Iterator[str]:
    """The address of the server that has what the suite looks for."""
    command = [sys.executable, "-m", "tests.mcp_server.everything"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_the_conformance_suite_finds_no_fault(everything: str, tmp_path: Path) -> None:
    suite = installed(SUITE, tmp_path) / "dist" / "index.js"

    found = node(suite, "server", "--url", everything, "--suite", "all", cwd=tmp_path)

    lines = re.findall(r"([✓✗]) ([\w-]+): (\d+) passed, (\d+) failed", found.stdout)
    assert len(lines) == 32, found.stdout[-3000:]
    assert [name for mark, name, _, failed in lines if mark == "✗" or failed != "0"] == []
    assert found.returncode == 0


def test_the_suites_next_version_finds_no_fault_in_the_newer_protocol_and_in_tasks(
    everything: str, tmp_path: Path
) -> None:
    suite = installed(NEXT, tmp_path) / "dist" / "index.js"

    found = node(suite, "server", "--url", everything, "--suite", "all", cwd=tmp_path)

    lines = re.findall(r"([✓✗]) ([\w-]+): (\d+) passed, (\d+) failed", found.stdout)
    assert len(lines) > 60, found.stdout[-3000:]
    faulty = {name: int(failed) for mark, name, _, failed in lines if mark == "✗" or failed != "0"}
    assert faulty == NOT_OURS


def test_the_inspector_lists_and_calls_what_the_command_serves(tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text(APP)
    inspector = installed(INSPECTOR, tmp_path) / "clients" / "launcher" / "build" / "index.js"
    command = (sys.executable, "-m", "perdure.cli", "mcp", "serve", "agents.py:app", "--worker")

    listed = node(inspector, "--cli", *command, "--method", "tools/list", cwd=tmp_path)
    called = node(
        inspector,
        "--cli",
        *command,
        *("--method", "tools/call", "--tool-name", "double", "--tool-arg", "input=21"),
        cwd=tmp_path,
    )
    prompts = node(inspector, "--cli", *command, "--method", "prompts/list", cwd=tmp_path)

    assert "double" in {tool["name"] for tool in json.loads(listed.stdout)["tools"]}, listed
    assert json.loads(called.stdout)["structuredContent"]["result"] == 42, called
    assert {one["name"] for one in json.loads(prompts.stdout)["prompts"]} == {
        "what_needs_me",
        "what_happened",
    }


def test_the_inspector_works_over_http_with_a_key(tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text(APP)
    inspector = installed(INSPECTOR, tmp_path) / "clients" / "launcher" / "build" / "index.js"
    perdure = [sys.executable, "-m", "perdure.cli", "--json", "--store", f"sqlite:///{tmp_path}/here.db"]
    served = [*perdure, "mcp", "serve", "agents.py:app", "--worker", "--http", "--port", "0"]
    with subprocess.Popen(served, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        create = [*perdure, "keys", "create", "inspector", "--role", "operator"]
        made = subprocess.run(create, capture_output=True, text=True, cwd=tmp_path, check=True)
        key = json.loads(made.stdout)["key"]
        remote = ("--cli", url, "--transport", "http", "--header", f"Authorization: Bearer {key}")

        called = node(
            inspector,
            *(*remote, "--method", "tools/call", "--tool-name", "double", "--tool-arg", "input=21"),
            cwd=tmp_path,
        )
        process.terminate()

    assert url.endswith("/mcp")
    assert json.loads(called.stdout)["structuredContent"]["result"] == 42, called
    assert process.returncode == 0
