"""OpenAI's responses, as the openai client meets them. What they share with chat completions is tested there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.testing import Fault, FaultRule, ModelServer, Reply
from perdure.testing.model_server import call, gives, says
from tests.testing.model_server.clients import PLAN, SCHEMA, responses, told

openai = pytest.importorskip("openai", reason='needs openai: pip install "perdure[models]"')

FIND = [{"type": "function", "name": "find", "description": "Look.", "parameters": SCHEMA, "strict": False}]
TWO = Reply(
    text="let me look",
    reasoning="the price is unknown",
    calls=(call("find", q="a b c"), call("find", q="b")),
    tokens=(70, 30),
    cached=20,
)


@pytest.mark.parametrize("stream", [False, True])
def test_text_reasoning_parallel_tool_calls_and_usage(stream: bool):
    with ModelServer([TWO]) as server:
        answer = responses(server, tools=FIND, stream=stream)
    if stream:
        assert [e.sequence_number for e in answer] == list(range(len(answer)))
        said = {
            kind: "".join(e.delta for e in answer if e.type == f"response.{kind}.delta") for kind in DELTAS
        }
        assert said["output_text"] == "let me look"
        assert said["reasoning_summary_text"] == "the price is unknown"
        assert said["function_call_arguments"] == '{"q": "a b c"}{"q": "b"}'
        assert (answer[0].type, answer[-1].type) == ("response.created", "response.completed")
        answer = answer[-1].response
    assert answer.status == "completed"
    assert answer.output_text == "let me look"
    reasoning, _, *calls = answer.output
    assert reasoning.summary[0].text == "the price is unknown"
    assert [(c.name, json.loads(c.arguments)) for c in calls] == [
        ("find", {"q": "a b c"}),
        ("find", {"q": "b"}),
    ]
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (70, 30, 100)
    assert usage.input_tokens_details.cached_tokens == 20


DELTAS = ("output_text", "reasoning_summary_text", "function_call_arguments")


def test_the_clients_own_reading_of_a_stream_gives_the_same():
    with (
        ModelServer([TWO]) as server,
        openai.OpenAI(base_url=server.openai_url, api_key="none", max_retries=0) as client,
        client.responses.stream(model="gpt-5", input="go", tools=FIND) as stream,
    ):
        answer = stream.get_final_response()
    assert [item.type for item in answer.output] == ["reasoning", "message", "function_call", "function_call"]


def test_structured_output():
    form = {"format": {"type": "json_schema", "name": "plan", "schema": PLAN, "strict": True}}
    with ModelServer([gives({"angle": "cost"})] * 2) as server:
        by_form = responses(server, text=form)
        by_force = responses(server, tools=FIND, tool_choice={"type": "function", "name": "find"})
    assert json.loads(by_form.output_text) == {"angle": "cost"}
    assert by_force.output[0].arguments == '{"angle": "cost"}'
    output = server.requests[0].output
    assert output is not None
    assert (output.name, output.json_schema) == ("plan", PLAN)


def test_what_was_asked_in_words_of_no_protocol():
    with ModelServer([TWO, says("done")]) as server:
        first = responses(server, "find a", instructions="be brief", tools=FIND)
        calls = [item for item in first.output if item.type == "function_call"]
        said = [
            {"role": "user", "content": [{"type": "input_text", "text": "find a"}]},
            *(item.model_dump(exclude_none=True) for item in first.output),
            *(
                {"type": "function_call_output", "call_id": c.call_id, "output": f"found {c.id}"}
                for c in calls
            ),
        ]
        responses(server, said, instructions="be brief", tools=FIND, max_output_tokens=50)
    one, two = server.requests
    assert (one.system, one.prompt, one.turn, one.results) == ("be brief", "find a", 1, 0)
    assert [m.role for m in two.messages] == ["system", "user", "assistant", "tool", "tool"]
    assert (two.prompt, two.turn, two.results, two.last) == ("find a", 2, 2, "found fc-1-1")
    assert {m.name for m in two.messages if m.role == "tool"} == {"find"}
    assert two.messages[2].text == "let me look"
    assert one.conversation == two.conversation
    assert two.tools[0].arguments == SCHEMA
    assert two.settings["max_output_tokens"] == 50


def test_a_conversation_that_the_server_keeps():
    with ModelServer([TWO, says("done")]) as server:
        first = responses(server, "find a", tools=FIND)
        call_id = first.output[-1].call_id
        result = [{"type": "function_call_output", "call_id": call_id, "output": "found b"}]
        responses(server, result, tools=FIND, previous_response_id=first.id)
    _, two = server.requests
    assert [m.role for m in two.messages] == ["user", "assistant", "tool"]
    assert (two.turn, two.prompt, two.last) == (2, "find a", "found b")


STATUS: list[tuple[Fault, str, int, str | None, str]] = [
    (Fault("rate_limited", retry_after=2), "RateLimitError", 429, "rate_limit_exceeded", "try again in 2s"),
    (Fault("overloaded"), "InternalServerError", 503, "server_is_overloaded", "currently overloaded"),
    (Fault("bad_key"), "AuthenticationError", 401, "invalid_api_key", "Incorrect API key"),
    (
        Fault("context_exceeded"),
        "BadRequestError",
        400,
        "context_length_exceeded",
        "exceeds the context window",
    ),
    (Fault("prompt_refused"), "BadRequestError", 400, "invalid_prompt", "usage policy"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "status", "code", "words"), STATUS, ids=lambda v: getattr(v, "kind", "")
)
def test_an_http_error(fault: Fault, error: str, status: int, code: str | None, words: str, stream: bool):
    with ModelServer([fault]) as server, pytest.raises(openai.APIStatusError, match=words) as caught:
        responses(server, stream=stream)
    assert type(caught.value).__name__ == error
    assert (caught.value.status_code, caught.value.code) == (status, code)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("stalled", "APITimeoutError", "ReadTimeout"),
        ("dropped", "APIConnectionError", "disconnected without sending a response"),
        ("cut_off", "APIConnectionError", "without sending complete message body"),
    ],
)
def test_a_broken_connection(kind: Any, error: str, words: str, stream: bool):
    with ModelServer([Fault(kind)]) as server, pytest.raises(openai.APIConnectionError) as caught:
        responses(server, stream=stream, timeout=0.3 if kind == "stalled" else 20)
    assert type(caught.value).__name__ == error
    assert words in told(caught.value)


def test_bodies_that_are_no_answer():
    kinds: list[Any] = ["half_body", "error_in_stream", "empty", "wrong_schema"]
    with ModelServer([Fault(kind) for kind in kinds]) as server:
        with pytest.raises(json.JSONDecodeError):
            responses(server)
        with pytest.raises(openai.InternalServerError):
            responses(server)
        assert responses(server).output == []
        assert responses(server).output is None
    with ModelServer([Fault(kind) for kind in kinds]) as server:
        half = responses(server, stream=True)
        assert half[-1].type == "response.output_text.delta"  # the end is missing, and nobody is told
        with pytest.raises(openai.APIError, match="currently overloaded"):
            responses(server, stream=True)
        *_, last = responses(server, stream=True)
        assert (last.type, last.response.output) == ("response.completed", [])
        assert [e.type for e in responses(server, stream=True)] == [None]


@pytest.mark.parametrize(
    ("kind", "status", "reason", "said"),
    [
        ("refused", "completed", None, ("refusal", "I'm sorry, but I can't help with that.")),
        ("filtered", "incomplete", "content_filter", None),
        ("cut_short", "incomplete", "max_output_tokens", ("text", "hello,")),
        ("blank", "completed", None, None),
        ("unknown_tool", "completed", None, ("arguments", "{}")),
        ("bad_arguments", "completed", None, ("arguments", '{"unfinished": "argu')),
        (
            "wrong_types",
            "completed",
            None,
            ("arguments", '{"q": {"not": "a text"}, "n": "not of this type"}'),
        ),
    ],
)
def test_a_model_that_does_not_do_what_it_should(kind: Any, status: str, reason: str | None, said: Any):
    with ModelServer(lambda _: says("hello, world"), faults=[FaultRule(kind)]) as server:
        answer = responses(server, tools=FIND)
        *_, last = responses(server, tools=FIND, stream=True)
    assert answer.status == status
    assert (answer.incomplete_details and answer.incomplete_details.reason) == reason
    if said is None:
        assert answer.output == []
    else:
        (item,) = answer.output
        assert getattr(item if item.type == "function_call" else item.content[0], said[0]) == said[1]
    assert last.type == f"response.{status}"
