"""OpenAI's chat completions, as the openai client meets them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.testing import Fault, FaultRule, ModelServer, Reply
from perdure.testing.model_server import asks, call, gives, says
from tests.testing.model_server.clients import PLAN, SCHEMA, chat, told

openai = pytest.importorskip("openai", reason='needs openai: pip install "perdure[models]"')

FIND = [{"type": "function", "function": {"name": "find", "description": "Look.", "parameters": SCHEMA}}]
TWO = Reply(
    text="let me look", calls=(call("find", q="a b c"), call("find", q="b")), tokens=(70, 30), cached=20
)


def test_text_and_usage():
    with ModelServer(
        [Reply(text="hello my world", tokens=(70, 30), cached=20, model="gpt-5-2026")]
    ) as server:
        answer = chat(server)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("hello my world", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (70, 30)
    assert answer.usage.prompt_tokens_details.cached_tokens == 20
    assert answer.model == "gpt-5-2026"


def test_a_stream_brings_the_text_in_pieces_and_the_usage_where_it_is_wanted():
    with ModelServer([says("hello my world"), says("again")]) as server:
        chunks = chat(server, stream=True, stream_options={"include_usage": True})
        without = chat(server, stream=True)
    deltas = [c.choices[0].delta.content for c in chunks if c.choices]
    assert deltas == ["", "hello ", "my ", "world", None]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert [c.usage.total_tokens for c in chunks if c.usage] == [15]
    assert [c.usage for c in without if c.usage] == []


def test_parallel_tool_calls():
    with ModelServer([TWO]) as server:
        answer = chat(server, tools=FIND)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("let me look", "tool_calls")
    asked = [(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls]
    assert asked == [("find", {"q": "a b c"}), ("find", {"q": "b"})]
    assert len({c.id for c in choice.message.tool_calls}) == 2


def test_parallel_tool_calls_streamed():
    with ModelServer([TWO]) as server:
        chunks = chat(server, stream=True, tools=FIND)
    arguments: dict[int, str] = {}
    names: list[str] = []
    for delta in (c.choices[0].delta for c in chunks if c.choices):
        for part in delta.tool_calls or ():
            names += [part.function.name] if part.function.name else []
            arguments[part.index] = arguments.get(part.index, "") + part.function.arguments
    assert names == ["find", "find"]
    assert [json.loads(a) for a in arguments.values()] == [{"q": "a b c"}, {"q": "b"}]


def test_structured_output_by_the_form_or_by_the_tool_that_takes_it():
    form = {"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN, "strict": True}}
    answers = [{"type": "function", "function": {"name": "final_result", "parameters": PLAN}}, *FIND]
    forced = {"type": "function", "function": {"name": "find"}}
    with ModelServer([gives({"angle": "cost"})] * 3) as server:
        by_form = chat(server, response_format=form, tools=answers)
        by_tool = chat(server, tools=answers)
        by_force = chat(server, tools=answers, tool_choice=forced)
    assert json.loads(by_form.choices[0].message.content) == {"angle": "cost"}
    for answer, tool in ((by_tool, "final_result"), (by_force, "find")):
        (made,) = answer.choices[0].message.tool_calls
        assert (made.function.name, json.loads(made.function.arguments)) == (tool, {"angle": "cost"})
    output = server.requests[0].output
    assert output is not None
    assert (output.name, output.json_schema) == ("plan", PLAN)


def test_what_was_asked_in_words_of_no_protocol():
    said: list[dict[str, Any]] = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "find a"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "a"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found a"},
    ]
    with ModelServer([says("done")]) as server:
        chat(server, said, tools=FIND, temperature=0.5, extra_headers={"Idempotency-Key": "run-1/step"})
    (request,) = server.requests
    assert (request.protocol, request.model, request.stream) == ("openai-chat", "gpt-5", False)
    assert [m.role for m in request.messages] == ["system", "user", "assistant", "tool"]
    assert (request.system, request.prompt, request.last) == ("be brief", "find a", "found a")
    assert (request.turn, request.results, request.tool_names) == (2, 1, ("find",))
    assert request.messages[3].name == "find"  # type: ignore[union-attr]
    assert request.tools[0].arguments == SCHEMA
    assert request.settings == {"temperature": 0.5}
    assert request.idempotency_key == "run-1/step"
    assert json.loads(request.raw)["messages"] == said == request.body["messages"]


STATUS: list[tuple[Fault, str, int, str | None, str]] = [
    (Fault("rate_limited", retry_after=2), "RateLimitError", 429, "rate_limit_exceeded", "try again in 2s"),
    (Fault("quota_exhausted"), "RateLimitError", 429, "insufficient_quota", "exceeded your current quota"),
    (Fault("server_error"), "InternalServerError", 500, None, "The server had an error"),
    (Fault("bad_gateway"), "InternalServerError", 502, None, "502"),
    (Fault("unavailable"), "InternalServerError", 503, None, "temporarily unable"),
    (Fault("gateway_timeout"), "InternalServerError", 504, None, "504"),
    (Fault("overloaded"), "InternalServerError", 503, "server_is_overloaded", "currently overloaded"),
    (Fault("bad_key"), "AuthenticationError", 401, "invalid_api_key", "Incorrect API key"),
    (Fault("forbidden"), "PermissionDeniedError", 403, "insufficient_permissions", "permissions"),
    (Fault("no_such_model"), "NotFoundError", 404, "model_not_found", "`gpt-5` does not exist"),
    (Fault("bad_request"), "BadRequestError", 400, "unsupported_parameter", "temperature"),
    (Fault("too_large"), "APIStatusError", 413, None, "too large"),
    (Fault("context_exceeded"), "BadRequestError", 400, "context_length_exceeded", "maximum context length"),
    (Fault("prompt_refused"), "BadRequestError", 400, "invalid_prompt", "usage policy"),
    (Fault("status", status=418, message="a teapot"), "APIStatusError", 418, None, "a teapot"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "status", "code", "words"), STATUS, ids=lambda v: getattr(v, "kind", "")
)
def test_an_http_error(fault: Fault, error: str, status: int, code: str | None, words: str, stream: bool):
    with ModelServer([fault]) as server, pytest.raises(openai.APIStatusError, match=words) as caught:
        chat(server, stream=stream)
    assert type(caught.value).__name__ == error
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert server.outcomes == {fault.kind: 1}


def test_when_to_come_back_is_told_in_seconds_or_as_a_date():
    at = datetime(2026, 11, 25, 21, 0, 5, tzinfo=UTC)
    with ModelServer([Fault("rate_limited", retry_after=1.2), Fault("overloaded", retry_after=at)]) as server:
        with pytest.raises(openai.RateLimitError) as limited:
            chat(server)
        with pytest.raises(openai.InternalServerError) as overloaded:
            chat(server)
    assert limited.value.response.headers["retry-after"] == "2"
    assert overloaded.value.response.headers["retry-after"] == "Wed, 25 Nov 2026 21:00:05 GMT"


CONNECTION: list[tuple[Fault, str, str]] = [
    (Fault("hang"), "APITimeoutError", "ReadTimeout"),
    (Fault("slow", delay=600), "APITimeoutError", "ReadTimeout"),
    (Fault("stalled"), "APITimeoutError", "ReadTimeout"),
    (Fault("dropped"), "APIConnectionError", "disconnected without sending a response"),
    (Fault("reset"), "APIConnectionError", "reset by peer"),
    (Fault("cut_off"), "APIConnectionError", "without sending complete message body"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "error", "words"), CONNECTION, ids=lambda v: getattr(v, "kind", ""))
def test_a_broken_connection(fault: Fault, error: str, words: str, stream: bool):
    waits = error == "APITimeoutError"
    with ModelServer([fault]) as server, pytest.raises(openai.APIConnectionError) as caught:
        chat(server, stream=stream, timeout=0.3 if waits else 20)
    assert type(caught.value).__name__ == error
    assert words in told(caught.value)


def test_half_a_body_is_no_error_of_the_clients_own():
    with ModelServer([Fault("half_body"), Fault("half_body")]) as server:
        with pytest.raises(json.JSONDecodeError):
            chat(server)
        chunks = chat(server, stream=True)
    assert [
        c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason
    ] == []  # and nobody is told


def test_a_stream_that_is_cut_has_brought_something():
    got: list[str] = []
    with (
        ModelServer([Fault("cut_off", after=2)]) as server,
        openai.OpenAI(base_url=server.openai_url, api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(openai.APIConnectionError):
            got.extend(
                chunk.choices[0].delta.content
                for chunk in client.chat.completions.create(
                    model="gpt-5", messages=[{"role": "user", "content": "go"}], stream=True
                )
            )
        assert server.requests[0].stream


def test_an_error_in_the_middle_of_a_stream():
    with ModelServer([Fault("error_in_stream"), Fault("error_in_stream")]) as server:
        with pytest.raises(openai.APIError, match="currently overloaded") as caught:
            chat(server, stream=True)
        with pytest.raises(openai.InternalServerError):
            chat(server)
    assert type(caught.value) is openai.APIError
    assert caught.value.code == "server_is_overloaded"


def test_bodies_that_are_no_answer():
    with ModelServer([Fault("empty"), Fault("wrong_schema"), Fault("no_json")]) as server:
        assert chat(server).choices == []
        assert chat(server).choices is None
        assert isinstance(chat(server), str)
    with ModelServer([Fault("empty"), Fault("wrong_schema"), Fault("no_json")]) as server:
        assert [c.choices for c in chat(server, stream=True)] == [[]]
        assert [c.choices for c in chat(server, stream=True)] == [None]
        assert chat(server, stream=True) == []


ALTERED: list[tuple[str, str, dict[str, Any]]] = [
    ("refused", "stop", {"refusal": "I'm sorry, but I can't help with that."}),
    ("filtered", "content_filter", {}),
    ("cut_short", "length", {"content": "hello"}),
    ("blank", "stop", {}),
    ("unknown_tool", "tool_calls", {"calls": [("no_such_tool", "{}")]}),
    ("bad_arguments", "tool_calls", {"calls": [("find", '{"unfinished": "argu')]}),
    ("wrong_types", "tool_calls", {"calls": [("find", '{"q": {"not": "a text"}, "n": "not of this type"}')]}),
]


@pytest.mark.parametrize(("kind", "finish", "said"), ALTERED)
def test_a_model_that_does_not_do_what_it_should(kind: Any, finish: str, said: dict[str, Any]):
    with ModelServer(lambda _: says("hello, world"), faults=[FaultRule(kind)]) as server:
        (choice,) = chat(server, tools=FIND).choices
        chunks = chat(server, tools=FIND, stream=True)
    message = choice.message
    assert choice.finish_reason == finish
    assert (message.content or "").startswith(said.get("content", ""))
    assert message.refusal == said.get("refusal")
    asked = [(c.function.name, c.function.arguments) for c in message.tool_calls or ()]
    assert asked == said.get("calls", [])
    assert chunks[-1].choices[0].finish_reason == finish
    assert "".join(c.choices[0].delta.refusal or "" for c in chunks) == said.get("refusal", "")


def test_arguments_are_cut_where_the_script_has_some():
    with ModelServer(lambda _: asks("find", q="acme"), faults=[FaultRule("bad_arguments")]) as server:
        (made,) = chat(server, tools=FIND).choices[0].message.tool_calls
    assert made.function.arguments == '{"q": '
