"""`make phoenix`: a run's spans in a real Phoenix, which is asked afterwards what it has got.

    .venv-phoenix/bin/phoenix serve ◄── OTLP ── a run that waits for an approval, with turns, tools and a child
              └── GET /v1/projects/default/spans ──► names, parents, tokens: as they were sent, or exit 1

Phoenix is large (430 MB resident), and takes up to twenty seconds to start: so it is no part of `make test`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from perdure import App, Run
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, Usage
from perdure.telemetry.spans import SpanExporter
from perdure.testing import until_waiting

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-phoenix"
PATIENCE_SECONDS = 120.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def installed() -> Path:
    """Phoenix's command, in a virtual environment of its own."""
    command = VENV / "bin" / "phoenix"
    if not command.exists():
        print("installing Phoenix into .venv-phoenix (a minute or two)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", "arize-phoenix"], check=True)
    return command


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


async def work() -> None:
    """One run with a bit of everything."""

    class Model:
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            return ModelReply(text="yes", usage=Usage(input_tokens=100, output_tokens=7))

    app = App("memory://")
    app.models.register("fake", Model())

    @app.tool(effect="write", needs_approval=True)
    def refund(cents: int) -> str:
        return f"refunded {cents}"

    @app.agent("helper")
    async def helper(run: Run) -> str:
        return await run.step("think", lambda: "thought")

    @app.agent("desk")
    async def desk(run: Run) -> str:
        await run.model("fake:m-1", "may I?")
        await run.call(refund, 500)
        return await run.child(helper)

    async with app:
        run = await app.start(desk, run_id="r1")
        await until_waiting(app, run, "approval")
        (question,) = await app.open_approvals("r1")
        await app.answer("r1", question.step, approved=True, by="user:eve", digest=question.digest)
        await run.result()
        (exporter,) = app.span_tasks()
        assert isinstance(exporter, SpanExporter)
        while await app.store.moved() or await exporter.place() < await app.store.log_size() - 1:
            await app.store.changed(app.store.changes(), within=0.2)


EXPECTED = {
    "invoke_agent desk",
    "chat m-1",
    "execute_tool refund",
    "delegate helper",
    "invoke_agent helper",
    "step think",
}


def main() -> int:
    command, port, grpc = installed(), free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            **os.environ,
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(grpc),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_WORKING_DIR": folder,
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        with Path(folder, "phoenix.log").open("w") as log:
            server = subprocess.Popen([str(command), "serve"], env=environ, stdout=log, stderr=log)
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    asked(f"{base}/v1/projects")
                    break
                except (OSError, urllib.error.URLError):
                    if server.poll() is not None or time.monotonic() > end:
                        print(Path(folder, "phoenix.log").read_text()[-2000:], file=sys.stderr)
                        return 1
                    time.sleep(0.3)
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = base
            asyncio.run(work())
            names: set[str] = set()
            spans: list[dict[str, Any]] = []
            while not names >= EXPECTED and time.monotonic() < end:
                spans = asked(f"{base}/v1/projects/default/spans?limit=100")["data"]
                names = {span["name"] for span in spans}
                time.sleep(0.3)
        finally:
            server.terminate()
            server.wait()
    for span in sorted(spans, key=lambda one: one["start_time"]):
        parent = span.get("parent_id") or "-"
        print(f"{span['context']['span_id']}  below {parent:<16}  {span['name']}")
    missing = EXPECTED - names
    traces = {span["context"]["trace_id"] for span in spans}
    print(
        f"{len(spans)} spans in {len(traces)} trace; " + (f"MISSING: {missing}" if missing else "all there")
    )
    return 1 if missing or len(traces) != 1 else 0


if __name__ == "__main__":
    sys.exit(main())
