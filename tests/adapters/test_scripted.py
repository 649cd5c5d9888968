"""`scripted:PATH`: answers from a file, by the request alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from perdure import App, ConfigError, Run, RunFailed
from perdure.adapters.scripted import ScriptedModel
from perdure.runtime.conversation.messages import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolMessage,
    UserMessage,
)


@pytest.fixture
def script(tmp_path: Path) -> Any:
    """Write a script and make its model."""

    def write(*rules: dict[str, Any], **more: Any) -> ScriptedModel:
        path = tmp_path / "script.json"
        path.write_text(json.dumps({"rules": rules, **more}))
        return ScriptedModel(f"scripted:{path}")

    return write


async def reply(model: ScriptedModel, *messages: Message | str, step: str = "ask/turn") -> ModelReply:
    said = tuple(UserMessage(text=m) if isinstance(m, str) else m for m in messages)
    return await model.request("scripted:x", ModelRequest(messages=said, step=step))


def answered(text: str = "") -> AssistantMessage:
    return AssistantMessage(text=text)


def told(text: str) -> ToolMessage:
    return ToolMessage(id="c", name="search", text=text)


# which rule ------------------------------------------------------------------------------------------------------


async def test_the_first_rule_whose_conditions_hold_answers(script: Any):
    model = script(
        {"step": "plan", "when": "Acme", "reply": "plan for acme"},
        {"step": "plan", "reply": "plan"},
        {"when": "hello", "turn": 2, "reply": "hello again"},
        {"match": r"^\d+$", "reply": "a number"},
        {"when": "hello", "reply": "hi"},
    )
    assert (await reply(model, "about ACME", step="plan/turn")).text == "plan for acme"
    assert (await reply(model, "about others", step="gather.1/plan:3/turn:2")).text == "plan"
    assert (await reply(model, "Hello!")).text == "hi"
    assert (await reply(model, "Hello!", answered(), "hello?")).text == "hello again"
    assert (await reply(model, "so:\n42")).text == "a number"


async def test_conditions_look_at_the_last_message_also_of_a_tool(script: Any):
    model = script({"when": "42", "reply": "found"}, {"when": "find", "tool_calls": [{"name": "search"}]})
    first = await reply(model, "find it")
    assert [(c.name, c.arguments) for c in first.tool_calls] == [("search", {})]
    assert first.finish_reason == "tool_call"
    assert (await reply(model, "find it", first.as_message(), told("42"))).text == "found"


async def test_rules_without_conditions_answer_in_their_order(script: Any):
    model = script({"reply": "one"}, {"when": "special", "reply": "special"}, {"reply": "two"})
    assert (await reply(model, "x")).text == "one"
    assert (await reply(model, "x", answered(), "y")).text == "two"
    assert (await reply(model, "special")).text == "special"


async def test_the_same_request_gets_the_same_answer_from_another_process(script: Any):
    model = script({"reply": "one"}, {"reply": "two"})
    talk = ("x", answered("one"), "y")
    assert await reply(model, *talk) == await reply(ScriptedModel(f"scripted:{model._file.path}"), *talk)  # type: ignore[attr-defined]
    assert (await reply(model, "x")).text == "one"


async def test_a_prompt_that_no_rule_fits_is_named(script: Any):
    model = script({"step": "plan", "reply": "x"}, {"reply": "once"})
    with pytest.raises(
        ConfigError, match=r"no rule fits turn 2 of step `draft`, whose last message is `and now\?`"
    ):
        await reply(model, "x", answered(), "and now?", step="draft/turn:2")


# what it says ----------------------------------------------------------------------------------------------------


async def test_places_are_filled_by_what_was_found(script: Any):
    model = script(
        {
            "match": r"role (?P<role>\w+)",
            "capture": {"second": r"^- .*\n- (.*)$"},
            "reply": {
                "to": "{{company}} ({{ role }})",
                "facts": ["{{fact*}}", "and {{second}}"],
                "all": "{{fact*}}",
                "none": ["{{nothing*}}"],
                "else": "{{nothing|who knows}}",
                "n": 3,
            },
        },
        capture={"company": "^Company: (.+)$", "fact": "^- (.+)$", "nothing": "^never (.*)$"},
    )
    answer = await reply(
        model, SystemMessage(text="Company: Veloria"), "- cheap\n- fast\n- cheap\nrole Buyer, turn of step"
    )
    assert json.loads(answer.text) == {
        "to": "Veloria (Buyer)",
        "facts": ["cheap", "fast", "and fast"],
        "all": "cheap, fast",
        "none": [],
        "else": "who knows",
        "n": 3,
    }


async def test_places_that_are_known_without_a_capture(script: Any):
    model = script({"turn": 2, "reply": "{{step}} {{turn}}: {{prompt}} / {{last}}"})
    text = (await reply(model, "hi", answered(), told("42"), step="plan:2/turn:2")).text
    assert text == "plan 2: hi / 42"


async def test_arguments_of_tools_are_filled_too(script: Any):
    call = {"name": "search", "arguments": {"q": "{{company}} news", "n": 2}}
    model = script({"tool_calls": [call, call], "reply": "I look"}, capture={"company": "about (.*)"})
    answer = await reply(model, "about Acme")
    assert [c.arguments for c in answer.tool_calls] == [{"q": "Acme news", "n": 2}] * 2
    assert len({c.id for c in answer.tool_calls}) == 2
    assert answer.text == "I look"


async def test_a_place_for_which_nothing_is_found_is_named(script: Any):
    model = script({"reply": "Dear {{contact}}"}, capture={"contact": "To: (.*)"})
    with pytest.raises(
        ConfigError, match=r"rule 1: nothing was found for `\{\{contact\}\}`, in turn 1 of step `ask`"
    ):
        await reply(model, "nobody")


async def test_usage_and_reasoning_are_told_only_where_the_script_has_them(script: Any):
    model = script(
        {
            "when": "dear",
            "reply": "x",
            "usage": {"input_tokens": 9, "output_tokens": 4},
            "reasoning": "why not",
        },
        {"reply": "y"},
    )
    dear = await reply(model, "dear")
    assert (dear.usage.input_tokens, dear.usage.output_tokens, dear.reasoning) == (9, 4, "why not")
    plain = await reply(model, "x")
    assert (plain.usage.input_tokens, plain.usage.output_tokens, plain.reasoning) == (None, None, None)
    assert plain.model == "scripted:script.json"


async def test_a_delay_is_waited_for(script: Any):
    model = script({"reply": "late", "delay": 0.05})
    began = time.monotonic()
    await reply(model, "x")
    assert time.monotonic() - began >= 0.05


# files that cannot be used ---------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named_with_where_it_was_looked_for():
    with pytest.raises(ConfigError, match=r"`scripted:no/such.json` cannot be read .*`/.*/no/such.json`"):
        ScriptedModel("scripted:no/such.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"rules": [{"reply": "x"}, {"wen": "y"}]}', r"`rules\.1\.wen`: Extra inputs"),
        ('{"rules": [{"match": "(", "reply": "x"}]}', r"`rules\.0\.match`: .*is no regular expression"),
    ],
)
def test_a_file_that_is_no_script_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        ScriptedModel(f"scripted:{path}")


async def test_a_script_may_be_toml(tmp_path: Path):
    path = tmp_path / "s.toml"
    path.write_text("[[rules]]\nreply = '''\nDear {{prompt}}\n'''\n")
    assert (await reply(ScriptedModel(f"scripted:{path}"), "Bob")).text == "Dear Bob\n"
    path.write_text("rules = [")
    with pytest.raises(ConfigError, match="is no TOML"):
        await reply(ScriptedModel(f"scripted:{path}"), "Bob")


# in a run --------------------------------------------------------------------------------------------------------


class Notes(BaseModel):
    company: str
    facts: list[str]


async def test_one_script_serves_any_lead_through_the_app(tmp_path: Path):
    path = tmp_path / "desk.json"
    path.write_text(
        json.dumps(
            {
                "capture": {"company": "Company: (.+)", "fact": "^- (.+)$"},
                "rules": [
                    {
                        "step": "research",
                        "turn": 1,
                        "tool_calls": [{"name": "search", "arguments": {"q": "{{company}}"}}],
                    },
                    {"step": "research", "reply": {"company": "{{company}}", "facts": ["{{fact*}}"]}},
                ],
            }
        )
    )
    app = App("memory://")

    @app.tool(effect="read")
    def search(q: str) -> str:
        return f"- {q} makes paper\n- {q} is old"

    @app.agent("research")
    async def research(run: Run, company: str) -> Notes:
        return await run.model(
            f"scripted:{path}", f"Company: {company}", output=Notes, tools=[search], name="research"
        )

    async with app:
        for company in ("Veloria", "Kestrel"):
            notes = await (await app.start(research, company)).result()
            assert notes == Notes(company=company, facts=[f"{company} makes paper", f"{company} is old"])


async def test_a_missing_script_ends_the_run_with_what_to_do():
    app = App("memory://")

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model("scripted:gone.json", "x")

    async with app:
        handle = await app.start(asker)
        with pytest.raises(RunFailed, match=r"ConfigError.*`scripted:gone.json` cannot be read"):
            await handle.result()
