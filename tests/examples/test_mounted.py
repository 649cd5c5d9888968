"""The example of a host application, in this process: its own operation, and the API below its mount."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import httpx2
import pytest

from tests.api.transport import StreamingTransport

PLACE = Path(__file__).parents[2] / "examples" / "mounted" / "main.py"


async def test_a_host_application_starts_runs_and_serves_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("mounted_main", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with (
        module.lifespan(module.host),
        httpx2.AsyncClient(
            transport=StreamingTransport(module.host), base_url="http://perdure.test"
        ) as client,
    ):
        greeted = await client.post("/greetings", params={"name": "Ada"})
        health = await client.get("/agents/api/v1/health")
        stranger = await client.get(f"/agents/api/v1/runs/{greeted.json()['run']}")
    assert greeted.json()["says"] == "Hello, Ada!"
    assert (health.status_code, stranger.status_code) == (200, 401)
