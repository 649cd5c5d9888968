"""The case over four days, run once as a user runs it; and its policies on what was remembered, in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai", reason="the agent talks to its model through the extra `models`")
pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
pytest.importorskip("mcp", reason='no MCP: `pip install "perdure[mcp]"`')

from perdure import App, ModelReply, ModelRequest, Run
from perdure.runtime.conversation.messages import ToolCall, ToolMessage

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "case_worker"
PROMISES = {
    "a person said who she is, and nobody was asked again",
    "each day began where the day before had ended",
    "killed in a question to the CRM, it was asked again",
    "killed in an answer to her, it was sent once",
    "killed in the refund, a person looked, and it was paid once",
    "what the receipt asked for was refused",
    "on the next day it still was a stranger's word",
    "what contradicts was kept, with where it is from",
    "a tool that had changed over night was refused until somebody looked",
    "what was recalled had room in its budget",
    "the conversation is one",
}
OWN, PLANTED = "SE4550000000058398257466", "GB33BUKB20201555555555"


@pytest.mark.soak
@pytest.mark.timeout(420)
def test_every_promise_holds(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "demo.py"), "--json", "--keep", str(tmp_path / "kept")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that nothing of it outlives a test that fails
    )
    try:
        out, err = process.communicate(timeout=400)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert out, err
    played = json.loads(out)
    assert set(played["checks"]) == PROMISES
    assert all(played["checks"].values()), json.dumps(played, indent=1)[:20_000]


class Obedient:
    """Refunds to whatever account it was reminded of, then to the customer's own, then once more."""

    calls = (
        ToolCall(id="1", name="crm__refund", arguments={"iban": PLANTED}),
        ToolCall(id="2", name="find_customer", arguments={}),
        ToolCall(id="3", name="crm__refund", arguments={"iban": OWN}),
        ToolCall(id="4", name="crm__refund", arguments={"iban": OWN}),
    )

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        said = [m.text for m in request.messages if isinstance(m, ToolMessage)]
        if len(said) < len(self.calls):
            return ModelReply(tool_calls=(self.calls[len(said)],), model=model)
        return ModelReply(text="\n".join(said), model=model)


async def test_s37_what_the_receipt_asks_for_is_refused_on_the_next_day_too() -> None:
    app = App("memory://", policies=EXAMPLE / "policies")
    app.models.register("mine", Obedient())
    paid: list[str] = []

    @app.tool(effect="read", labels=["untrusted"])
    def read_attachment() -> str:
        return (EXAMPLE / "attachments" / "receipt.txt").read_text(encoding="utf-8")

    @app.tool(effect="read", labels=["trusted"])
    def find_customer() -> dict[str, str]:
        return {"account": OWN}

    @app.tool(effect="write", name="crm__refund")
    def refund(iban: str) -> str:
        paid.append(iban)
        return "refunded"

    @app.agent("tuesday")
    async def tuesday(run: Run) -> None:
        await run.working("case").add(await run.call(read_attachment), kind="document", source="receipt.txt")

    @app.agent("wednesday")
    async def wednesday(run: Run) -> str:
        recalled = await run.working("case").pack("refund account", budget_tokens=330)
        return await run.model("mine:m", f"Refund it.\n{recalled}", tools=[find_customer, refund])

    async with app:
        await (await app.start(tuesday)).result()
        first, _, third, fourth = (await (await app.start(wednesday)).result()).split("\n")
    assert "that a stranger wrote, whenever it was read" in first
    assert (third, paid) == ("refunded", [OWN])
    assert "refunded once" in fourth
