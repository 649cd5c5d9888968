"""A worker whose agent commits to a repository by a real MCP server (`GIT_SERVER`, its settings), in `REPOSITORY`."""

from __future__ import annotations

import json
import os

from perdure import Agent, App, Run
from tests.faults.programs import crew


def register(app: App) -> Agent:
    @app.agent("commits")
    async def commits(run: Run, message: str) -> str:
        git = await app.mcp.tools(run, "git")
        done = await run.call(git["git_commit"], repo_path=os.environ["REPOSITORY"], message=message)
        return str(done.text or done.structured)

    return commits


def main() -> None:
    app = crew.new_app()
    app.mcp.settings = dict(App("memory://", mcp={"git": json.loads(os.environ["GIT_SERVER"])}).mcp.settings)
    register(app)
    crew.work(app)
