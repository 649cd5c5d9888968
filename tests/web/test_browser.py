"""What only a browser can tell: that text stays text, that keys do what they say, that everybody can read the pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from perdure import App, Run
from perdure.journal import RunStatus
from tests.web.browsers import chromium, serving, window
from tests.web.scene import TestGate

EVIL = '<img src=x onerror=alert(1)><div hx-get="/runs/evil" hx-trigger="load">x</div>'

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[App]:
    app = App("memory://", approvals={"most_per_hour": 0})

    @app.tool(effect="write", needs_approval=True)
    def pay(payee: str, cents: int) -> str:
        return f"{cents} to {payee}"

    @app.agent("payer")
    async def payer(run: Run, payee: str) -> str:
        await run.decide("due", ["pay", "wait"], "pay", reason=EVIL, confidence=0.7)
        return await run.call(pay, payee, 500)

    @app.agent("quick")
    async def quick(run: Run, given: str) -> str:
        return await run.step("echo", lambda: given)

    @app.agent("keeper")
    async def keeper(run: Run, given: str) -> int:
        return await run.session("case").append(given[:40], given)

    async with app:
        await (await app.start("keeper", EVIL, run_id="keep-1")).result()
        await (await app.start("quick", EVIL, run_id="quick-1")).result()
        await app.start("payer", "p\u0430ypal " + EVIL, run_id="pay-1", by="user:ann")
        await waiting(app, "pay-1")
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(app: App) -> AsyncIterator[str]:
    async with serving(app, TestGate()) as found:
        yield found


PAGES = (
    "/runs",
    "/runs/quick-1?show=data",
    "/runs/pay-1?step=pay",
    "/approvals",
    "/approvals/pay-1",
    "/memory",
)


async def waiting(app: App, run: str) -> None:
    while True:
        record = await app.store.get(app.ref(run))
        if record is not None and record.status is RunStatus.WAITING:
            return
        await app.store.changed(app.store.changes(), within=0.05)


async def test_what_a_model_wrote_does_nothing(browser: Any, base: str) -> None:
    """S28, S29: it asks for nothing; and were it ever an element, it would have no mark."""
    async with window(browser, base) as seen:
        seen.page.on("dialog", lambda _: seen.complaints.append("a dialog of somebody's script"))
        for path in PAGES:
            await seen.go(path)
        assert not seen.complaints
        assert {address.split("/")[2] for _, address in seen.asked} == {base.split("/")[2]}
        assert not [address for _, address in seen.asked if "evil" in address or address.endswith("/x")]

        await seen.page.evaluate(
            """html => { const it = document.createElement("div"); it.innerHTML = html;
                         document.querySelector("main").append(it); htmx.process(it); }""",
            EVIL,
        )
        await seen.page.evaluate("htmx.trigger(document.getElementById('listed') ?? document.body, 'none')")
        await seen.page.wait_for_timeout(150)
        assert not [address for _, address in seen.asked if "evil" in address]
        assert "a dialog of somebody's script" not in seen.complaints


async def test_keys_lead_everywhere_and_approve_nothing(browser: Any, base: str, app: App) -> None:
    async with window(browser, base) as seen:
        page = seen.page
        await seen.go("/runs")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        assert (
            await page.locator('[aria-selected="true"] a[data-open]').get_attribute("href") == "/runs/quick-1"
        )
        await page.keyboard.press("k")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert page.url.endswith("/runs/pay-1")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await (
            page.get_by_role("heading", name="Where its arguments")
            .or_(page.locator("h2.mono", has_text="pay"))
            .wait_for()
        )
        assert "step=pay" in page.url
        await page.keyboard.press("Escape")
        await page.locator(".events").wait_for()
        async with page.expect_navigation():
            await page.keyboard.press("g")
            await page.keyboard.press("r")
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "text"
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        assert await page.locator("#keys").is_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("approv")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert page.url.endswith("/approvals")

        await seen.go("/approvals/pay-1")
        for key in [*"abcdefhilmnopqrstuvwxyz", "Enter", " ", "y", "Y", "1", "j", "Enter"]:
            await page.keyboard.press(key)
        assert not [address for method, address in seen.asked if method != "GET"]
        assert len(await app.open_approvals("pay-1")) == 1
        assert not seen.complaints


async def test_everybody_can_read_the_pages(browser: Any, base: str) -> None:
    """By axe: names, contrast, order, tables; in light and dark, and as wide as a telephone."""
    for scheme, width in (("light", 1280), ("dark", 390)):
        async with window(
            browser, base, color_scheme=scheme, viewport={"width": width, "height": 900}
        ) as seen:
            for path in PAGES:
                await seen.go(path)
                assert await seen.faults() == [], f"{path} in {scheme}"
                wide = await seen.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{path} is {wide} wide"


async def test_what_changes_comes_by_itself_and_is_approved_with_two_looks(
    browser: Any, base: str, app: App
) -> None:
    async with window(browser, base) as listed, window(browser, base) as asked:
        await listed.go("/runs")
        await app.start("payer", "Acme", run_id="pay-2", by="user:ann")
        row = listed.page.locator("tr", has_text="pay-2")
        await row.get_by_text("for an approval").wait_for()

        await asked.go("/approvals/pay-2")
        await asked.page.locator("summary", has_text="Approve").first.click()
        await asked.page.get_by_role("button", name="Approve this call").click()
        await asked.page.get_by_text("Approved.").wait_for()
        await row.get_by_text("succeeded").wait_for()
        assert not listed.complaints and not asked.complaints
        await asyncio.sleep(0)
