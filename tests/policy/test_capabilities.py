"""The agent may ask what it may do, before it plans."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import App, Run
from tests.runtime.conversations import Answers, asks, says

POLICIES = """
@id("reads") permit (principal, action in Action::"read", resource);
@id("pays") permit (principal == Agent::"desk", action == Action::"pay", resource);
@id("limit") @gate("human") @role("finance") @reason("above 50 somebody approves")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 5000 }
unless { context.approvals.contains("finance") };
@id("never") @reason("nothing is deleted")
forbid (principal, action == Action::"delete", resource);
"""


def made(url: str, folder: Path | None, answers: Answers) -> App:
    app = App(url, policies=folder)
    app.models.register("fake", answers)

    @app.tool(effect="read")
    def look() -> str:
        return "x"

    @app.tool(effect="write")
    def pay(to: str, cents: int) -> str:
        return "paid"

    @app.tool(effect="write")
    def delete(what: str) -> str:
        return "deleted"

    @app.tool(effect="write")
    def launch() -> str:
        return "launched"

    @app.agent("desk")
    async def desk(run: Run) -> list[list[object]] | None:
        found = run.capabilities()
        await run.step("pause", lambda: None)
        if found is None:
            return None
        return [[c.tool, c.may, [[x.policy, x.role, x.reason] for x in c.conditions]] for c in found]

    @app.agent("asks")
    async def asks_it(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[pay, run.what_may_i_do])

    return app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.cedar").write_text(POLICIES)
    return tmp_path


async def test_what_is_always_so_and_what_depends(store_url: str, folder: Path) -> None:
    async with made(store_url, folder, Answers()) as app:
        run = await app.start("desk")
        assert await run.result() == [
            ["delete", "no", [["never", None, "nothing is deleted"]]],
            ["launch", "no", []],
            ["look", "yes", []],
            ["pay", "depends", [["limit", "finance", "above 50 somebody approves"]]],
        ]


async def test_it_is_told_how_far_it_goes_by_itself(folder: Path) -> None:
    answers = Answers(asks(("what_may_i_do", {})), says("understood"))
    async with made("memory://", folder, answers) as app:

        @app.agent("careful", ring={"pay": "act_after_approval", "launch": "act_and_verify", "look": "draft"})
        async def careful(run: Run) -> dict[str, str]:
            await run.model("fake:m", "go", tools=[run.what_may_i_do])
            return {c.tool: str(c.ring) for c in run.capabilities() or ()}

        await app.trust.narrow("careful", "pay", reason="it paid the wrong one", by="user:ann")
        assert await (await app.start("careful")).result() == {
            "pay": "draft",
            "launch": "act_after_approval",  # it has no `check` by which it could verify what it did
            "delete": "none",
            "look": "none",  # a read has no ring
        }
    told = "".join(m.text for m in answers.requests[-1].messages)
    assert '"ring":"draft"' in told


async def test_without_policies_there_is_nothing_to_tell(store_url: str) -> None:
    async with made(store_url, None, Answers()) as app:
        assert await (await app.start("desk")).result() is None


async def test_a_model_asks_and_is_answered_whatever_the_policies_say(store_url: str, folder: Path) -> None:
    (folder / "strict.cedar").write_text('@id("none") forbid (principal == Agent::"asks", action, resource);')
    answers = Answers(
        asks(("what_may_i_do", {})), asks(("pay", {"to": "Ada", "cents": 1})), says("understood")
    )
    async with made(store_url, folder, answers) as app:
        assert await (await app.start("asks")).result() == "understood"
    told = [m.text for request in answers.requests for m in request.messages]
    assert any('"tool":"pay"' in text and '"may":"no"' in text for text in told)
    assert [tool.name for tool in answers.requests[0].tools] == ["what_may_i_do"], (
        "what is denied is not offered"
    )
