"""Takes the pictures of docs/dashboard.md: fills a store with a company's week, serves its pages, and looks at them.

    .venv/bin/python tools/screenshots.py [--only runs] [--into docs/images]

Needs `pip install playwright` and a Chromium: `apt-get install chromium`, or one named in PERDURE_TEST_CHROMIUM.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from showcase import TurnedClock, company, fill
from starlette.requests import Request

from perdure import App
from perdure.access.callers import Caller, Role
from perdure.core.principal import Principal
from perdure.telemetry.projector import Projector
from perdure.views.runs import RunsQuery, runs_page
from perdure.web import pages

ROOT = Path(__file__).resolve().parent.parent
WIDE, PHONE = (1360, 880), (390, 844)


@dataclass(frozen=True)
class Picture:
    name: str
    path: str
    scheme: str = "light"
    size: tuple[int, int] = WIDE
    press: str = ""
    click: str = ""


PICTURES = (
    Picture("runs", "/runs"),
    Picture("palette", "/runs", scheme="dark", press="Control+k"),
    Picture("run", "/runs/case-4105"),
    Picture("run-step", "/runs/pay-inv-2044?step=invoice/turn:2.0/pay", scheme="dark"),
    Picture("run-decisions", "/runs/case-4190?show=decisions"),
    Picture("approvals", "/approvals"),
    Picture("approval", "/approvals/case-4113"),
    Picture("approval-phone", "/approvals/pay-inv-2044", size=PHONE),
)


class Everybody:
    """Lets one person in, as all that they could be."""

    async def caller_of(self, request: Request) -> Caller:
        dana = Principal(subject="user:dana", issuer="https://login.example.org")
        return Caller(principal=dana, tenant="default", roles=frozenset(Role), via="session:docs")


async def take(into: Path, only: str | None) -> None:
    """All pictures, or the one that is named."""
    from playwright.async_api import async_playwright

    chromium = os.environ.get("PERDURE_TEST_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium: `apt-get install chromium`, or name one in PERDURE_TEST_CHROMIUM")
    with tempfile.TemporaryDirectory(prefix="perdure-pictures-", ignore_cleanup_errors=True) as folder:
        clock = TurnedClock(timedelta(days=2))
        app = company(f"sqlite:///{folder}/company.db", clock, Path(folder))
        async with app:
            await fill(app, clock)
            await counted(app)
            config = uvicorn.Config(
                pages(app, Everybody()),
                port=0,
                log_level="error",
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(0.01)
            base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                for picture in PICTURES:
                    if only in (None, picture.name):
                        await _one(browser, base, picture, into / f"{picture.name}.png")
                await browser.close()
            server.should_exit = True
            await serving


async def counted(app: App) -> None:
    """Until the figures of all runs are what their journals say."""
    projector = Projector(app.store)
    while True:
        await projector.tick()
        found = await runs_page(app.store, RunsQuery(tenant="default", limit=200))
        if all(row.current for row in found.rows):
            return
        await asyncio.sleep(0.1)


async def _one(browser: Any, base: str, picture: Picture, file: Path) -> None:
    width, height = picture.size
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=picture.scheme, timezone_id="UTC"
    )
    page = await context.new_page()
    await page.goto(base + picture.path, wait_until="load")
    await page.evaluate("document.fonts.ready")
    if picture.press:
        await page.keyboard.press(picture.press)
    if picture.click:
        await page.click(picture.click)
    await page.screenshot(path=str(file), animations="disabled")
    _smaller(file)
    print(file)
    await context.close()


def _smaller(file: Path) -> None:
    """A page has few colours: a palette of 256 is as good, at a third of the bytes."""
    try:
        from PIL import Image  # pyright: ignore[reportMissingImports]  # only makes them smaller
    except ModuleNotFoundError:
        return
    whole = Image.open(file).convert("RGB")
    # by coverage: a median cut takes the few coloured dots for grey ones
    whole.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", choices=[picture.name for picture in PICTURES])
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(given.into.resolve(), given.only))


if __name__ == "__main__":
    main()
