"""A real Chromium on a real server, for what only a browser can tell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from perdure import App
from perdure.access import Gate
from perdure.web import pages

HOW = "no Chromium: `apt-get install chromium`, or name one in PERDURE_TEST_CHROMIUM"
AXE = Path(__file__).parent / "axe" / "axe.min.js"


@dataclass
class Window:
    """A page of the browser, and what it has asked for."""

    page: Any
    base: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    """method and address of each request"""
    complaints: list[str] = field(default_factory=list)
    """of the console, and of scripts that failed"""

    async def go(self, path: str) -> None:
        await self.page.goto(self.base + path, wait_until="load")

    async def faults(self) -> list[str]:
        """What axe finds wrong with the page for those who do not see it, or not well."""
        # `evaluate` is not held back by the page's own policy
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


@asynccontextmanager
async def serving(app: App, gate: Gate, *, port: int = 0, **more: Any) -> AsyncIterator[str]:
    """The pages, on a port of this machine."""
    config = uvicorn.Config(
        pages(app, gate, **more), port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.async_api", reason="no playwright: `pip install playwright`")
    found = (
        os.environ.get("PERDURE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if found is None:
        pytest.skip(HOW)
    async with playwright.async_playwright() as running:
        browser = await running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def window(browser: Any, base: str, **options: Any) -> AsyncIterator[Window]:
    """A window of its own, with its own storage."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    found = Window(page, base)
    page.on("request", lambda request: found.asked.append((request.method, request.url)))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            found.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    yield found
    await context.close()
