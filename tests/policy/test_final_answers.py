"""What a run answers goes before the policies that name it: let out, shown to somebody, or handed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from pydantic import BaseModel

from perdure import App, Kind, Run, RunFailed
from perdure.journal import RunStatus
from perdure.runtime.conversation.messages import ModelReply
from perdure.testing import until_waiting
from tests.runtime.conversations import Answers, asks, says

ALL = '@id("all") permit (principal, action, resource);\n'
ASKED = """
@id("sure") @gate("human") @role("review") @reason("the agent is not sure of its answer")
forbid (principal, action == Action::"final answer", resource)
when { context.confidence.lessThan(decimal("0.8")) }
unless { context.approvals.contains("review") };
"""
HANDED = """
@id("sure") @reason("the agent is not sure of its answer")
forbid (principal, action == Action::"final answer", resource)
when { context.confidence.lessThan(decimal("0.8")) };
"""
REVIEW = {"groups": {"review": ["eve"]}}


class Finding(BaseModel):
    total: int


def answering(answer: Any, **stated: Any) -> ModelReply:
    return says(json.dumps({"answer": answer, **stated}))


def made(store: Any, where: Path, text: str, answers: Answers) -> App:
    (where / "base.cedar").write_text(ALL + text)
    app = App(store, policies=where, approvals=REVIEW)
    app.models.register("fake", answers)

    @app.tool(effect="read")
    def look(q: str) -> str:
        return q.upper()

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.model("fake:m", "how much?", tools=[look])

    @app.agent("finder")
    async def finder(run: Run) -> Finding:
        return await run.model("fake:m", "how much?", output=Finding)

    @app.agent("plain")
    async def plain(run: Run) -> str:
        return await run.step("count", lambda: "42")

    return app


async def verdicts(run: Any) -> list[dict[str, Any]]:
    told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [t for t in told if t["stage"] == "policy"]


async def test_an_answer_that_is_sure_enough_is_the_result(store_url: str, tmp_path: Path) -> None:
    answers = Answers(asks(("look", {"q": "x"})), answering("42 in all", confidence=0.9, unknowns=["tax"]))
    async with made(store_url, tmp_path, HANDED, answers) as app:
        run = await app.start("desk")
        assert await run.result() == "42 in all"
        (verdict,) = await verdicts(run)
    assert (verdict["tool"], verdict["verdict"]) == ("final answer", "allow")
    assert verdict["call"]["stated"] == {"confidence": 0.9, "unknowns": ["tax"]}
    form = answers.requests[0].output
    assert form is not None
    assert form.json_schema["required"] == ["answer", "confidence", "unknowns"]
    assert set(answers.requests[0].tools[0].arguments["properties"]) == {"q"}


@pytest.mark.parametrize(
    "reply", [answering("42", confidence=0.5, unknowns=["tax"]), answering("42"), says("42"), says("42 \n")]
)
async def test_one_that_is_not_is_handed_over_with_what_there_is(tmp_path: Path, reply: ModelReply) -> None:
    async with made("memory://", tmp_path, HANDED, Answers(reply)) as app:
        run = await app.start("desk")
        with pytest.raises(
            RunFailed, match="its answer was not accepted: the agent is not sure of its answer"
        ):
            await run.result()
        assert await run.status() is RunStatus.ESCALATED
        ended = json.loads((await run.entries())[-1].payload)
    assert ended["context"]["result"].strip() == "42"
    assert ended["context"]["confidence"] == (0.5 if "0.5" in reply.text else 0)


async def test_somebody_may_accept_it_or_put_another_in_its_place(store_url: str, tmp_path: Path) -> None:
    for edited, result in ((None, 41), ({"result": {"total": 42}}, 42)):
        answers = Answers(answering({"total": 41}, confidence=0.5, unknowns=[]))
        async with made(store_url, tmp_path, ASKED, answers) as app:
            run = await app.start("finder")
            await until_waiting(app, run, "approval")
        async with made(store_url, tmp_path, ASKED, Answers()) as app:
            (asked,) = await app.open_approvals()
            assert asked.told["about"]["stated"] == {"confidence": 0.5, "unknowns": []}
            assert asked.told["show"]["arguments"] == {"result": {"total": 41}}
            more: dict[str, Any] = {} if edited is None else {"arguments": edited}
            await app.answer(run.id, asked.step, approved=True, by="eve", digest=asked.digest, **more)
            run = await app.handle(run.id)
            assert await run.result() == Finding(total=result)
            assert len(await verdicts(run)) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"approved": False, "reason": "count again"}, "eve said no: count again"),
        ({"approved": True, "arguments": {"result": "many"}}, "does not fit"),
    ],
)
async def test_a_no_hands_it_over(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    answers = Answers(answering({"total": 41}, confidence=0.5, unknowns=[]))
    async with made("memory://", tmp_path, ASKED, answers) as app:
        run = await app.start("finder")
        await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals()
        await app.answer(run.id, asked.step, by="eve", digest=asked.digest, **said)
        with pytest.raises(RunFailed, match=why):
            await run.result()
        assert await run.status() is RunStatus.ESCALATED


async def test_what_no_model_has_answered_is_not_asked_about(tmp_path: Path) -> None:
    async with made("memory://", tmp_path, HANDED, Answers()) as app:
        run = await app.start("plain")
        assert await run.result() == "42"
        assert await verdicts(run) == []


async def test_without_a_policy_that_names_it_nothing_is_added(tmp_path: Path) -> None:
    """Also where another asks how sure the model is of all that it does: that is about calls."""
    unsure = (
        '@id("no") forbid (principal, action, resource) when { context.confidence.lessThan(decimal("0.8")) };'
    )
    answers = Answers(says("42"))
    async with made("memory://", tmp_path, unsure, answers) as app:
        assert await (await app.start("desk")).result() == "42"
    assert answers.requests[0].output is None


async def test_the_answer_of_a_check_is_no_answer_of_the_run(tmp_path: Path) -> None:
    answers = Answers(answering("42", confidence=0.9, unknowns=[]))
    async with made("memory://", tmp_path, HANDED, answers) as app:
        app.models.register("judge", Answers(answering("yes", confidence=0.1, unknowns=[])))

        async def check(run: Run, result: str) -> bool:
            return await run.model("judge:m", f"is {result} right?") == "yes"

        @app.agent("checked", check=check)
        async def checked(run: Run) -> str:
            return await run.model("fake:m", "how much?")

        assert await (await app.start("checked")).result() == "42"


async def test_the_agent_is_told_of_tools_only(tmp_path: Path) -> None:
    async with made("memory://", tmp_path, HANDED, Answers()) as app:

        @app.agent("curious")
        async def curious(run: Run) -> list[str]:
            return [c.tool for c in run.capabilities() or ()]

        assert await (await app.start("curious")).result() == ["look"]
