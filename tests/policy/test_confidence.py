"""Where policies ask how sure the model is, each call says so; below a threshold people are asked, or more is found."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import App, ConfigError, Kind, Run
from perdure.cli.display.question import question_text
from perdure.governance.policy import PolicyFile, ToolForm
from perdure.governance.policy.book import PolicyBook
from perdure.governance.policy.heard import Heard
from perdure.governance.policy.stated import LONGEST_UNKNOWN, UNSTATED, Fields, Stated
from perdure.runtime.boundary.policy import Guard
from perdure.testing import until_waiting
from tests.runtime.conversations import Answers, asks, says

ALL = '@id("all") permit (principal, action, resource);\n'
SURE = """
@id("sure") @gate("human") @role("finance") @reason("the agent is not sure enough")
forbid (principal, action == Action::"pay", resource)
when { context.confidence.lessThan(decimal("0.8")) }
unless { context.approvals.contains("finance") };
"""
EVIDENCE = """
@id("guess") @gate("evidence") @reason("payments are not made on a guess")
forbid (principal, action in Action::"write", resource)
when { context.confidence.lessThan(decimal("0.5")) || context.unknowns.contains("the account") };
"""
GROUPS = {"groups": {"finance": ["eve"]}}
paid: list[tuple[str, int]] = []


def made(store: Any, folder: Path | None, answers: Answers) -> App:
    app = App(store, policies=folder, approvals=GROUPS)
    app.models.register("fake", answers)

    @app.tool(effect="write")
    def pay(to: str, cents: int) -> str:
        paid.append((to, cents))
        return "paid"

    @app.tool(effect="read")
    def look(q: str) -> str:
        return q.upper()

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return await run.model("fake:m", task, tools=[pay, look])

    return app


@pytest.fixture(autouse=True)
def nothing_paid() -> None:
    paid.clear()


def folder(where: Path, text: str) -> Path:
    (where / "base.cedar").write_text(text)
    return where


def paying(**stated: Any) -> Any:
    return asks(("pay", {"to": "Ada", "cents": 900, **stated}))


async def verdicts(run: Any, stage: str = "policy") -> list[dict[str, Any]]:
    told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [t for t in told if t["stage"] == stage]


async def test_a_model_states_it_beside_the_arguments_and_the_tool_never_sees_it(
    store_url: str, tmp_path: Path
) -> None:
    answers = Answers(paying(confidence=0.9, unknowns=["the date"]), says("done"))
    async with made(store_url, folder(tmp_path, ALL + SURE), answers) as app:
        run = await app.start("desk", "pay Ada")
        assert await run.result() == "done"
        (verdict,) = await verdicts(run)
        intents = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.INTENT]
    assert paid == [("Ada", 900)]
    assert verdict["verdict"] == "allow"
    assert verdict["call"]["stated"] == {"confidence": 0.9, "unknowns": ["the date"]}
    assert verdict["call"]["arguments"] == intents[0]["arguments"] == {"to": "Ada", "cents": 900}
    forms = {s.name: s.arguments for s in answers.requests[0].tools}
    assert set(forms["pay"]["properties"]) == {"to", "cents", "confidence", "unknowns"}
    assert set(forms["pay"]["required"]) == {"to", "cents", "confidence", "unknowns"}
    assert set(forms["look"]["properties"]) == {"q"}


@pytest.mark.parametrize(
    "stated",
    [
        {"confidence": 0.79, "unknowns": []},
        {},
        {"confidence": 0.9},
        {"confidence": "0.9", "unknowns": []},
        {"confidence": 1.2, "unknowns": []},
        {"confidence": True, "unknowns": []},
        {"confidence": 0.9, "unknowns": "nothing"},
    ],
)
async def test_below_the_threshold_somebody_is_asked_and_sees_it(
    stated: dict[str, Any], tmp_path: Path
) -> None:
    answers = Answers(paying(**stated), says("done"))
    async with made("memory://", folder(tmp_path, ALL + SURE), answers) as app:
        run = await app.start("desk", "pay Ada")
        await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals()
        about = asked.told["about"]
        assert about["policy"]["why"] == "the agent is not sure enough"
        assert about["stated"]["confidence"] == (0.79 if stated.get("confidence") == 0.79 else 0)
        assert asked.told["show"]["arguments"] == {"to": "Ada", "cents": 900}
        seen = question_text(asked.question, asked.told["show"], None, about=about).plain
        assert "asked, because the agent is not sure enough" in seen
        assert "the model says: confidence 0.79" in seen or "the model says: no confidence stated" in seen
        await app.answer(run.id, asked.step, approved=True, by="eve", digest=asked.digest)
        assert await run.result() == "done"
    assert paid == [("Ada", 900)]


async def test_more_evidence_first_tells_the_model_what_is_missing_and_asks_nobody(
    store_url: str, tmp_path: Path
) -> None:
    answers = Answers(
        paying(confidence=0.4, unknowns=["whether it is paid already"]),
        asks(("look", {"q": "ada"})),
        paying(confidence=0.95, unknowns=[]),
        says("done"),
    )
    async with made(store_url, folder(tmp_path, ALL + SURE + EVIDENCE), answers) as app:
        run = await app.start("desk", "pay Ada")
        assert await run.result() == "done"
        found = await verdicts(run)
    told = answers.requests[1].messages[-1].text
    assert "was not called yet: payments are not made on a guess" in told
    assert "confidence 0.4; not known: whether it is paid already" in told
    assert [(v["verdict"], v.get("evidence", False)) for v in found] == [("deny", True), ("allow", False)]
    assert paid == [("Ada", 900)]


async def test_another_worker_goes_on_with_what_was_stated(store_url: str, tmp_path: Path) -> None:
    """It is read from the recorded turn: no model is asked again, and nothing is judged anew as if it were unstated."""
    policies = folder(tmp_path, ALL + SURE + EVIDENCE)
    async with made(store_url, policies, Answers(paying(confidence=0.6, unknowns=["the date"]))) as app:
        run = await app.start("desk", "pay Ada")
        await until_waiting(app, run, "approval")
    last = Answers(paying(), says("done"))
    async with made(store_url, policies, last) as app:
        (asked,) = await app.open_approvals()
        await app.answer(run.id, asked.step, approved=True, by="eve", digest=asked.digest)
        run = await app.handle(run.id)
        assert await run.result() == "done"
        found = await verdicts(run)
    assert [v["verdict"] for v in found] == ["needs_approval"]
    assert found[0]["call"]["stated"] == {"confidence": 0.6, "unknowns": ["the date"]}
    assert len(last.requests) == 1
    assert paid == [("Ada", 900)]


async def test_what_the_program_calls_is_certain(tmp_path: Path) -> None:
    app = made("memory://", folder(tmp_path, ALL + SURE + EVIDENCE), Answers())

    @app.agent("clerk")
    async def clerk(run: Run) -> str:
        return await run.call(app.tools["pay"], "Ada", 5)

    async with app:
        run = await app.start("clerk")
        assert await run.result() == "paid"
        (verdict,) = await verdicts(run)
    assert "stated" not in verdict["call"]


async def test_without_a_policy_that_asks_nothing_is_added(tmp_path: Path) -> None:
    answers = Answers(paying(), says("done"))
    async with made("memory://", folder(tmp_path, ALL), answers) as app:
        assert await (await app.start("desk", "pay Ada")).result() == "done"
    assert all("confidence" not in s.arguments["properties"] for s in answers.requests[0].tools)


async def test_a_policy_of_one_agent_asks_that_agent_only(tmp_path: Path) -> None:
    (tmp_path / "agent" / "clerk").mkdir(parents=True)
    (tmp_path / "agent" / "clerk" / "sure.cedar").write_text(SURE)
    answers = Answers(paying(), says("done"))
    async with made("memory://", folder(tmp_path, ALL), answers) as app:
        assert await (await app.start("desk", "pay Ada")).result() == "done"
    assert paid == [("Ada", 900)]


def test_a_tool_that_has_such_an_argument_keeps_it() -> None:
    form = {"properties": {"confidence": {"type": "number"}}, "required": ["confidence"]}
    fields = Fields.beside(form)
    assert fields.added(form)["required"] == ["confidence", "stated_confidence", "stated_unknowns"]
    given = {"confidence": 3.5, "stated_confidence": 0.5, "stated_unknowns": ["x"]}
    assert fields.taken(given) == ({"confidence": 3.5}, Stated(0.5, ("x",), said=True))


def test_what_is_no_statement_counts_as_none() -> None:
    assert Stated.of(float("nan"), []).confidence == 0
    assert Stated.of(0.7, None) == UNSTATED
    assert Stated.of(0.7, [1]) == UNSTATED
    assert Stated.of(1, ["x" * 9000]).unknowns == ("x" * LONGEST_UNKNOWN,)
    assert Stated.recorded(Stated(0.25, ("x",), said=True).told()) == Stated(0.25, ("x",), said=True)


async def test_a_gate_for_evidence_asks_no_role(tmp_path: Path) -> None:
    wrong = EVIDENCE.replace('@gate("evidence")', '@gate("evidence") @role("finance")')
    with pytest.raises(ConfigError, match="go with `@gate"):
        async with made("memory://", folder(tmp_path, ALL + wrong), Answers()):
            pass


def test_a_call_of_which_nothing_was_heard_counts_as_unstated() -> None:
    """Whatever an adapter could not take out of a reply: the policy has asked, and nobody has answered."""
    files = [PolicyFile("organisation", "base.cedar", ALL + SURE)]
    tools = [ToolForm("pay", "write", {"properties": {"cents": {"type": "integer"}}})]
    book = PolicyBook(files, agents=["desk"], tools=tools, where="here")
    guard: Any = Guard(book, book.digest, Heard(), agent="desk")
    call = SimpleNamespace(by_model=True, effect="write", key="model/turn.pay/pay")
    assert guard._stated(call, "pay") is UNSTATED
    assert guard._stated(SimpleNamespace(by_model=False, effect="write", key="pay"), "pay") is None
