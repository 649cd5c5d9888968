"""Anthropic's messages, as the anthropic client meets them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.testing import Fault, FaultRule, ModelServer, Reply
from perdure.testing.model_server import call, gives, says
from tests.testing.model_server.clients import PLAN, SCHEMA, messages, told

anthropic = pytest.importorskip("anthropic", reason='needs anthropic: pip install "perdure[models]"')
httpx2 = pytest.importorskip("httpx2", reason="comes with anthropic")

FIND = [{"name": "find", "description": "Look.", "input_schema": SCHEMA}]
TWO = Reply(
    text="let me look",
    reasoning="the price is unknown",
    calls=(call("find", q="a b c"), call("find", q="b")),
    tokens=(70, 30),
    cached=20,
)


def test_text_reasoning_parallel_tool_calls_and_usage():
    with ModelServer([TWO]) as server:
        answer = messages(server, tools=FIND)
    thinking, text, *calls = answer.content
    assert (thinking.thinking, thinking.signature) == ("the price is unknown", "sealed-1")
    assert (text.text, answer.stop_reason) == ("let me look", "tool_use")
    assert [(c.name, c.input) for c in calls] == [("find", {"q": "a b c"}), ("find", {"q": "b"})]
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (50, 20, 30)


def test_the_clients_own_reading_of_a_stream_gives_the_same():
    with (
        ModelServer([TWO, TWO]) as server,
        anthropic.Anthropic(base_url=server.anthropic_url, api_key="none", max_retries=0) as client,
    ):
        asked: dict[str, Any] = {
            "model": "claude-opus-4-8",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "go"}],
            "tools": FIND,
        }
        with client.messages.stream(**asked) as stream:
            words = list(stream.text_stream)
            streamed = stream.get_final_message()
        whole = client.messages.create(**asked)
    assert words == ["let ", "me ", "look"]
    told_twice = {"id", "content"}  # ids and signatures count the requests
    assert streamed.model_dump(exclude=told_twice) == whole.model_dump(exclude=told_twice)
    assert [b.type for b in streamed.content] == [b.type for b in whole.content]
    assert streamed.content[3].input == {"q": "b"}


def test_structured_output():
    form = {"format": {"type": "json_schema", "schema": PLAN}}
    with ModelServer([gives({"angle": "cost"})] * 2) as server:
        by_form = messages(server, output_config=form)
        by_force = messages(server, tools=FIND, tool_choice={"type": "tool", "name": "find"})
    assert json.loads(by_form.content[0].text) == {"angle": "cost"}
    assert by_force.content[0].input == {"angle": "cost"}
    output = server.requests[0].output
    assert output is not None
    assert output.json_schema == PLAN


def test_what_was_asked_in_words_of_no_protocol():
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "find a"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "let me look"},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "a"}},
                {"type": "tool_use", "id": "t2", "name": "find", "input": {"q": "b"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [{"type": "text", "text": "found a"}],
                },
                {"type": "tool_result", "tool_use_id": "t2", "content": "no b", "is_error": True},
                {"type": "text", "text": "hurry"},
            ],
        },
    ]
    with ModelServer([says("done")]) as server:
        messages(server, said, system=[{"type": "text", "text": "be brief"}], tools=FIND)
    (request,) = server.requests
    assert (request.protocol, request.model) == ("anthropic", "claude-opus-4-8")
    assert [m.role for m in request.messages] == ["system", "user", "assistant", "tool", "tool", "user"]
    results = [(m.name, m.text, m.failed) for m in request.messages if m.role == "tool"]
    assert results == [("find", "found a", False), ("find", "no b", True)]
    assert (request.system, request.prompt, request.user, request.last) == (
        "be brief",
        "find a",
        "hurry",
        "hurry",
    )
    assert (request.turn, request.results, request.tool_names) == (2, 2, ("find",))
    assert request.settings == {"max_tokens": 100}


STATUS: list[tuple[Fault, str, int, str, str]] = [
    (Fault("rate_limited", retry_after=2), "RateLimitError", 429, "rate_limit_error", "rate limit"),
    (Fault("quota_exhausted"), "BadRequestError", 400, "invalid_request_error", "credit balance is too low"),
    (Fault("server_error"), "InternalServerError", 500, "api_error", "Internal server error"),
    (Fault("unavailable"), "ServiceUnavailableError", 503, "api_error", "Service unavailable"),
    (Fault("gateway_timeout"), "GatewayTimeoutError", 504, "timeout_error", "timed out"),
    (Fault("overloaded"), "OverloadedError", 529, "overloaded_error", "Overloaded"),
    (Fault("bad_key"), "AuthenticationError", 401, "authentication_error", "invalid x-api-key"),
    (Fault("forbidden"), "PermissionDeniedError", 403, "permission_error", "permission"),
    (Fault("no_such_model"), "NotFoundError", 404, "not_found_error", "model: claude-opus-4-8"),
    (Fault("bad_request"), "BadRequestError", 400, "invalid_request_error", "max_tokens"),
    (Fault("too_large"), "ContentTooLargeError", 413, "request_too_large", "maximum size"),
    (Fault("context_exceeded"), "BadRequestError", 400, "invalid_request_error", "prompt is too long"),
    (Fault("prompt_refused"), "BadRequestError", 400, "invalid_request_error", "content filtering policy"),
    (Fault("status", status=418, message="a teapot"), "APIStatusError", 418, "scripted", "a teapot"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "status", "kind", "words"), STATUS, ids=lambda v: getattr(v, "kind", "")
)
def test_an_http_error(fault: Fault, error: str, status: int, kind: str, words: str, stream: bool):
    with ModelServer([fault]) as server, pytest.raises(anthropic.APIStatusError, match=words) as caught:
        messages(server, stream=stream)
    assert type(caught.value).__name__ == error
    assert caught.value.status_code == status
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.request_id == "req_" + "1".zfill(24)


def test_a_proxy_answers_with_a_page():
    with (
        ModelServer([Fault("bad_gateway")]) as server,
        pytest.raises(anthropic.InternalServerError) as caught,
    ):
        messages(server)
    assert (caught.value.status_code, "<h1>502" in str(caught.value)) == (502, True)


def test_when_to_come_back_is_told_in_seconds_or_as_a_date():
    at = datetime(2026, 11, 25, 21, 0, 5, tzinfo=UTC)
    with ModelServer([Fault("rate_limited", retry_after=2), Fault("overloaded", retry_after=at)]) as server:
        with pytest.raises(anthropic.RateLimitError) as limited:
            messages(server)
        with pytest.raises(anthropic.OverloadedError) as overloaded:
            messages(server)
    assert limited.value.response.headers["retry-after"] == "2"
    assert overloaded.value.response.headers["retry-after"] == "Wed, 25 Nov 2026 21:00:05 GMT"


@pytest.mark.parametrize(
    ("kind", "stream", "error", "words"),
    [
        ("hang", False, "anthropic.APITimeoutError", "ReadTimeout"),
        ("hang", True, "anthropic.APITimeoutError", "ReadTimeout"),
        ("stalled", False, "anthropic.APITimeoutError", "ReadTimeout"),
        ("stalled", True, "httpx2.ReadTimeout", "ReadTimeout"),  # not wrapped: the stream had begun
        ("dropped", False, "anthropic.APIConnectionError", "disconnected without sending a response"),
        ("reset", True, "anthropic.APIConnectionError", "reset by peer"),
        ("cut_off", False, "anthropic.APIConnectionError", "without sending complete message body"),
        ("cut_off", True, "httpx2.RemoteProtocolError", "without sending complete message body"),
    ],
)
def test_a_broken_connection(kind: Any, stream: bool, error: str, words: str):
    waits = kind in ("hang", "stalled")
    with (
        ModelServer([Fault(kind)]) as server,
        pytest.raises((anthropic.APIError, httpx2.HTTPError)) as caught,
    ):
        messages(server, stream=stream, timeout=0.3 if waits else 20)
    kind_of = type(caught.value)
    assert f"{kind_of.__module__.partition('.')[0]}.{kind_of.__name__}" == error
    assert words in told(caught.value)


def test_bodies_that_are_no_answer():
    kinds: list[Any] = ["half_body", "error_in_stream", "empty", "wrong_schema"]
    with ModelServer([Fault(kind) for kind in kinds]) as server:
        with pytest.raises(json.JSONDecodeError):
            messages(server)
        with pytest.raises(anthropic.OverloadedError):
            messages(server)
        assert messages(server).content == []
        assert messages(server).content is None
    with ModelServer([Fault(kind) for kind in kinds]) as server:
        half = messages(server, stream=True)
        assert half[-1].type == "content_block_delta"  # the end is missing, and nobody is told
        with pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught:
            messages(server, stream=True)
        assert caught.value.status_code == 200  # the status that the stream began with
        assert [e.type for e in messages(server, stream=True)] == [
            "message_start",
            "message_delta",
            "message_stop",
        ]
        assert messages(server, stream=True) == []


@pytest.mark.parametrize(
    ("kind", "stop", "said"),
    [
        ("refused", "refusal", [("text", "I'm sorry, but I can't help with that.")]),
        ("filtered", "refusal", []),
        ("cut_short", "max_tokens", [("text", "hello,")]),
        ("blank", "end_turn", []),
        ("unknown_tool", "tool_use", [("input", {})]),
        ("bad_arguments", "tool_use", [("input", '{"unfinished": "argu')]),
        ("wrong_types", "tool_use", [("input", {"q": {"not": "a text"}, "n": "not of this type"})]),
    ],
)
def test_a_model_that_does_not_do_what_it_should(kind: Any, stop: str, said: list[tuple[str, Any]]):
    with ModelServer(lambda _: says("hello, world"), faults=[FaultRule(kind)]) as server:
        answer = messages(server, tools=FIND)
        events = messages(server, tools=FIND, stream=True)
    assert answer.stop_reason == stop
    assert [
        (name, getattr(block, name)) for block, (name, _) in zip(answer.content, said, strict=True)
    ] == said
    assert [e.delta.stop_reason for e in events if e.type == "message_delta"] == [stop]
    arguments = "".join(
        e.delta.partial_json for e in events if getattr(getattr(e, "delta", 0), "partial_json", 0)
    )
    assert arguments == ('{"unfinished": "argu' if kind == "bad_arguments" else arguments)
