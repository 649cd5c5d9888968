"""S16 and its like, for MCP clients: a person answers what they were shown, in a form; a model answers nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent

from perdure import App
from perdure.access import Role
from perdure.core.mcp_serve_settings import McpServeSettings
from tests.mcp_server.clients import Person, desk, served, somebody

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def asking(app: App, agent: str = "refunds", amount: Any = 7) -> tuple[str, str]:
    """A run that asks for a call's approval: its id, and the step."""
    handle = await app.start(agent, amount, by="user:bob")
    seen = app.store.changes()
    while not (found := await app.open_approvals(handle.id)):
        assert (await handle.record()).ended_at is None, await handle.ending()
        await app.store.changed(seen, within=1.0)
        seen = app.store.changes()
    return handle.id, found[0].step


@MODES
@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_person_is_shown_exactly_what_is_asked_and_their_answer_counts(
    mode: str, decision: str
) -> None:
    app = desk()
    person = Person({"decision": decision, "reason": "as agreed"})
    async with app, served(app, person=person, mode=mode) as client:
        run, step = await asking(app)
        listed = await client.call_tool("list_questions", {"run": run})

        said = await client.call_tool("answer_question", {"run": run, "step": step})
        ending = await (await app.handle(run)).ending()
        over = await client.call_tool("get_run", {"run": run})

    (question,) = listed.structured_content["questions"]
    (shown,) = person.shown
    assert question["arguments"] == {"amount": 7}
    assert "`refund` for user:bob" in shown and '"amount": 7' in shown and question["digest"][:12] in shown
    assert person.forms[0]["properties"]["decision"]["enum"] == ["approve", "deny"]
    assert said.structured_content["answered"] is True
    if decision == "approve":
        assert over.structured_content["result"] == ending.value == "refunded 7"
    else:
        assert over.structured_content["status"] == "failed"


@MODES
async def test_a_model_cannot_say_what_the_answer_is(mode: str) -> None:
    app = desk()
    person = Person(None)
    async with app, served(app, person=person, mode=mode) as client:
        run, step = await asking(app)

        forced = await client.call_tool("answer_question", {"run": run, "step": step, "decision": "approve"})
        declined = await client.call_tool("answer_question", {"run": run, "step": step})

        assert forced.is_error and "`decision`" in text_of(forced)
        assert declined.structured_content == {
            "answered": False,
            "said": "the person did not answer; the question stands open",
        }
        assert len(person.shown) == 1
        assert await app.open_approvals(run)


async def test_where_no_person_can_be_asked_it_says_where_a_person_answers() -> None:
    app = desk(access={"url": "https://perdure.example"})
    program = somebody(Role.OPERATOR, Role.APPROVER, name="system:bot")
    agent = somebody(Role.APPROVER, name="agent:desk")
    async with app:
        run, step = await asking(app)
        for caller, person in ((somebody(), None), (program, Person()), (agent, Person())):
            async with served(app, caller, person=person) as client:
                found = await client.call_tool("answer_question", {"run": run, "step": step})
                assert found.is_error
                assert f"https://perdure.example/approvals/{run}" in text_of(found)
                assert person is None or person.shown == []
        assert await app.open_approvals(run)


async def test_nobody_approves_here_what_they_have_asked_for_nor_without_a_signature_that_it_takes() -> None:
    app = desk()
    person = Person()
    async with (
        app,
        served(app, somebody(name="user:bob"), person=person) as bob,
        served(app, person=person) as ann,
    ):
        mine, step = await asking(app)
        own = await bob.call_tool("answer_question", {"run": mine, "step": step})
        signed, wire = await asking(app, "wires")
        without = await ann.call_tool("answer_question", {"run": signed, "step": wire})
        gone = await ann.call_tool("answer_question", {"run": mine, "step": "no/such"})

    assert own.is_error and "nobody approves what they have asked for" in text_of(own)
    assert without.is_error and "only with a signature" in text_of(without)
    assert gone.is_error and "no open question" in text_of(gone)
    assert person.shown == []


@MODES
async def test_what_stands_open_when_the_answer_comes_must_be_what_was_shown(mode: str) -> None:
    app = desk()
    person = Person({"decision": "approve"}, None)
    async with app, served(app, person=person, mode=mode) as client:
        run, step = await asking(app)

        async def somebody_is_faster() -> None:
            person.before = None
            (asked,) = await app.open_approvals(run)
            await app.answer(run, step, approved=False, by="user:eve", digest=asked.digest)

        person.before = somebody_is_faster
        found = await client.call_tool("answer_question", {"run": run, "step": step})
        ending = await (await app.handle(run)).ending()

    assert ending.status == "failed"
    assert len(person.shown) == 1
    assert found.is_error or found.structured_content["answered"] is False


@MODES
async def test_an_answer_to_a_question_that_was_asked_anew_is_asked_for_again(mode: str) -> None:
    app = desk()
    person = Person({"decision": "approve"}, None)
    async with app, served(app, person=person, mode=mode) as client:
        run, step = await asking(app)

        async def somebody_answers_what_was_never_shown() -> None:
            person.before = None
            body = {"approved": True, "digest": "0" * 64, "reason": None, "value": None, "arguments": None}
            await app.post(run, "answer", step, json.dumps(body).encode(), "forged", "user:eve", None)
            seen = app.store.changes()
            while not (await app.open_approvals(run))[0].told["round"]:
                await app.store.changed(seen, within=1.0)
                seen = app.store.changes()

        person.before = somebody_answers_what_was_never_shown
        found = await client.call_tool("answer_question", {"run": run, "step": step})
        assert await app.open_approvals(run)

    if mode == "auto":  # the client comes again by itself
        assert len(person.shown) == 2
        assert found.structured_content["answered"] is False
    else:
        assert found.is_error and "is not what was shown: look again" in text_of(found)


async def test_the_state_of_a_question_is_good_for_its_caller_alone() -> None:
    app = desk()
    async with (
        app,
        served(app, person=Person()) as ann,
        served(app, somebody(name="user:eve"), person=Person()) as eve,
    ):
        run, step = await asking(app)
        arguments = {"run": run, "step": step}
        begun = await ann.session.call_tool("answer_question", arguments, allow_input_required=True)
        state = begun.request_state  # pyright: ignore[reportAttributeAccessIssue]
        assert state and run not in state, "sealed"

        answer = {"answer": {"action": "accept", "content": {"decision": "approve"}}}
        for client, other in ((eve, arguments), (ann, {**arguments, "step": "other"})):
            with pytest.raises(MCPError, match="requestState"):
                await client.session.call_tool(
                    "answer_question",
                    other,
                    input_responses=answer,  # pyright: ignore[reportArgumentType]
                    request_state=state,
                    allow_input_required=True,
                )
        assert await app.open_approvals(run)


@MODES
async def test_a_run_that_asks_its_caller_has_the_answer_within_one_call(mode: str) -> None:
    app = desk()
    person = Person({"value": "left"})
    async with app, served(app, person=person, mode=mode) as client:
        found = await client.call_tool("asks", {})

    assert found.structured_content["result"] == "the left one"
    assert "Which one?" in person.shown[0] and '"doors": 2' in person.shown[0]
    assert person.forms[0]["properties"]["value"]["enum"] == ["left", "right"]


async def test_a_run_that_asks_somebody_else_is_told_as_waiting() -> None:
    app = desk()
    app.mcp_serve = McpServeSettings(agents=("refunds",))
    async with app, served(app, person=Person()) as client:
        found = await client.call_tool("refunds", {"input": 5})

    assert found.structured_content["status"] == "waiting"
    assert found.structured_content["questions"][0]["tool"] == "refund"
    assert "answer_question" in found.structured_content["next"]
