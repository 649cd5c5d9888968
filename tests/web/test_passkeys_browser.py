"""The whole way in a real browser: a link, a session, a passkey of a virtual device, a signed answer."""

from __future__ import annotations

import socket

import pytest

from perdure import App, Run, verify_answers
from perdure.access.entrance import Entrance
from perdure.access.gates import AppGate
from perdure.access.links import Links
from tests.web.browsers import chromium, serving


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


@pytest.mark.soak  # test_passkeys.py has the same with a device in software
async def test_somebody_comes_in_registers_a_passkey_and_approves() -> None:
    port = _free_port()
    here = f"http://localhost:{port}"
    app = App("memory://", approvals={"passkeys": {"host": "localhost", "origins": here}})

    @app.tool(effect="write", needs_approval=True)
    def pay(payee: str, cents: int) -> str:
        return f"{cents} to {payee}"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay, "Ada", 500)

    async with app, chromium() as browser:
        run = await app.start("payer", run_id="r", by="user:ann")
        while not await app.open_approvals("r"):
            await app.store.changed(app.store.changes(), within=0.05)
        gate = AppGate(app)
        links = Links()
        async with serving(app, gate, entrance=Entrance(gate, links=links), port=port):
            context = await browser.new_context()
            page = await context.new_page()
            complaints: list[str] = []
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            device = await context.new_cdp_session(page)
            await device.send("WebAuthn.enable")
            await device.send(
                "WebAuthn.addVirtualAuthenticator",
                {
                    "options": {
                        "protocol": "ctap2",
                        "transport": "internal",
                        "hasResidentKey": True,
                        "hasUserVerification": True,
                        "isUserVerified": True,
                    }
                },
            )
            await page.goto(links.new(here))  # the page presses its button by itself
            await page.wait_for_url(f"{here}/runs*")
            await page.goto(f"{here}/passkeys")
            await page.fill("input[name=note]", "laptop")
            await page.click("text=Register it")
            await page.wait_for_url("**/passkeys?done=registered")

            await page.goto(f"{here}/approvals/r")
            await page.click("summary.yes")
            await page.click("text=Approve this call")
            await page.wait_for_url("**/approvals?done=approved*")
            assert await run.result() == "500 to Ada"
            assert complaints == []
            await page.click("text=Sign out")
            await page.wait_for_url("**/sign-in")
            await page.goto(f"{here}/runs")
            assert await page.locator("text=Who are you?").count() == 1
            await context.close()
        (answer,) = verify_answers(run.ref, await run.entries(), app.approval_settings)
    assert (answer.decision, answer.signature) == ("approve", "unknown")
