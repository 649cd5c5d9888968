"""`perdure serve`, as a process: it tells where it is, lets nobody in who shows nothing, and leaves in good order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from perdure.cli.commands import hang
from perdure.cli.root import root

SCENE = Path(__file__).parents[1] / "cli" / "cli_scene.py"


def test_a_server_serves_and_leaves_in_good_order(tmp_path: Path) -> None:
    options = ["--store", f"sqlite:///{tmp_path}/perdure.db", "--app", f"{SCENE}:app", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure.cli", "serve", "--worker", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        url = ready["url"]
        health, stranger = (httpx2.get(f"{url}/api/v1/{path}") for path in ("ready", "runs"))
        page = httpx2.get(ready["sign_in"])
        elsewhere = httpx2.get(f"{url}/api/v1/health", headers={"host": "evil.example"})
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (ready["event"], ready["worker"]) == ("ready", True)
    assert health.json()["status"] == "ready"
    assert stranger.status_code == 401
    assert (page.status_code, elsewhere.status_code) == (200, 421)
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["stopping", "stopped"]
    assert process.returncode == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_a_port_for_others_takes_an_address_that_they_know(host: str, tmp_path: Path) -> None:
    options = ["--store", f"sqlite:///{tmp_path}/perdure.db", "--app", f"{SCENE}:app", "--json"]
    hang()
    result = CliRunner().invoke(root, [*options, "serve", "--host", host, "--port", "0"])
    assert result.exit_code == 2
    assert f"`--host {host}` is reached from elsewhere" in json.loads(result.stdout)["error"]["message"]
