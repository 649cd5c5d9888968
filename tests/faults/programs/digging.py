"""A worker whose agent calls a tool of an MCP server (`SERVER`, its address) that becomes a task."""

from __future__ import annotations

import os

from perdure import Agent, App, Run
from tests.faults.programs import crew


def register(app: App) -> Agent:
    @app.agent("digs")
    async def digs(run: Run, where: str) -> str:
        answer = await run.call((await app.mcp.tools(run, "desk"))["dig"], where=where)
        return answer.text

    return digs


def main() -> None:
    app = crew.new_app()
    app.mcp.settings = dict(App("memory://", mcp={"desk": {"url": os.environ["SERVER"]}}).mcp.settings)
    register(app)
    crew.work(app)
