"""Gemini's `generateContent`, as the google-genai client meets it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.testing import Fault, FaultRule, ModelServer, Reply
from perdure.testing.model_server import call, gives, says
from tests.testing.model_server.clients import PLAN, SCHEMA, gemini, told

genai = pytest.importorskip("google.genai", reason='needs google-genai: pip install "perdure[models]"')
httpx = pytest.importorskip("httpx", reason="comes with google-genai")

FIND = [
    {"function_declarations": [{"name": "find", "description": "Look.", "parameters_json_schema": SCHEMA}]}
]
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
        told = gemini(server, tools=FIND, stream=stream)
    answers = told if stream else [told]
    parts = [part for answer in answers for part in answer.candidates[0].content.parts]
    assert "".join(p.text for p in parts if p.thought) == "the price is unknown"
    assert "".join(p.text for p in parts if p.text and not p.thought) == "let me look"
    calls = [(p.function_call.name, p.function_call.args) for p in parts if p.function_call]
    assert calls == [("find", {"q": "a b c"}), ("find", {"q": "b"})]
    assert [a.candidates[0].finish_reason for a in answers][-1] == "STOP"
    usage = answers[-1].usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (70, 30)
    assert usage.cached_content_token_count == 20
    assert len(answers) == (10 if stream else 1)


def test_structured_output():
    with ModelServer([gives({"angle": "cost"})] * 2) as server:
        by_form = gemini(server, response_mime_type="application/json", response_json_schema=PLAN)
        config = {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["find"]}}
        by_force = gemini(server, tools=FIND, tool_config=config)
    assert json.loads(by_form.text) == {"angle": "cost"}
    assert by_force.function_calls[0].args == {"angle": "cost"}
    output = server.requests[0].output
    assert output is not None
    assert output.json_schema == PLAN


def test_what_was_asked_in_words_of_no_protocol():
    said: list[dict[str, Any]] = [
        {"role": "user", "parts": [{"text": "find a"}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "find", "args": {"q": "a"}}}]},
        {
            "role": "user",
            "parts": [
                {"function_response": {"id": "c1", "name": "find", "response": {"result": "found a"}}},
                {"function_response": {"id": "c2", "name": "find", "response": {"error": "no b"}}},
            ],
        },
    ]
    with ModelServer([says("done")]) as server:
        gemini(server, said, system_instruction="be brief", tools=FIND, temperature=0.5)
    (request,) = server.requests
    assert (request.protocol, request.model, request.stream) == ("gemini", "gemini-3-pro", False)
    assert [m.role for m in request.messages] == ["system", "user", "assistant", "tool", "tool"]
    results = [(m.name, m.text, m.failed) for m in request.messages if m.role == "tool"]
    assert results == [("find", "found a", False), ("find", "no b", True)]
    assert (request.system, request.prompt, request.last) == ("be brief", "find a", "no b")
    assert (request.turn, request.results, request.tool_names) == (2, 2, ("find",))
    assert request.tools[0].arguments == SCHEMA
    assert request.settings["temperature"] == 0.5


STATUS: list[tuple[Fault, str, int, str, str]] = [
    (Fault("rate_limited"), "ClientError", 429, "RESOURCE_EXHAUSTED", "Resource has been exhausted"),
    (Fault("quota_exhausted"), "ClientError", 429, "RESOURCE_EXHAUSTED", "exceeded your current quota"),
    (Fault("server_error"), "ServerError", 500, "INTERNAL", "internal error"),
    (Fault("bad_gateway"), "ServerError", 502, "Bad Gateway", "Error 502"),
    (Fault("unavailable"), "ServerError", 503, "UNAVAILABLE", "currently unavailable"),
    (Fault("gateway_timeout"), "ServerError", 504, "DEADLINE_EXCEEDED", "Deadline expired"),
    (Fault("overloaded"), "ServerError", 503, "UNAVAILABLE", "The model is overloaded"),
    (Fault("bad_key"), "ClientError", 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
    (Fault("forbidden"), "ClientError", 403, "PERMISSION_DENIED", "permission"),
    (Fault("no_such_model"), "ClientError", 404, "NOT_FOUND", "models/gemini-3-pro is not found"),
    (Fault("bad_request"), "ClientError", 400, "INVALID_ARGUMENT", "Invalid JSON payload"),
    (Fault("too_large"), "ClientError", 400, "INVALID_ARGUMENT", "payload size exceeds"),
    (
        Fault("context_exceeded"),
        "ClientError",
        400,
        "INVALID_ARGUMENT",
        "exceeds the maximum number of tokens",
    ),
    (Fault("status", status=418, message="a teapot"), "ClientError", 418, "UNKNOWN", "a teapot"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "code", "status", "words"), STATUS, ids=lambda v: getattr(v, "kind", "")
)
def test_an_http_error(fault: Fault, error: str, code: int, status: str, words: str, stream: bool):
    with ModelServer([fault]) as server, pytest.raises(genai.errors.APIError, match=words) as caught:
        gemini(server, stream=stream)
    assert type(caught.value).__name__ == error
    assert (caught.value.code, caught.value.status) == (code, status)


def test_when_to_come_back_is_in_the_body_or_a_date_in_the_header():
    at = datetime(2026, 11, 25, 21, 0, 5, tzinfo=UTC)
    with ModelServer([Fault("rate_limited", retry_after=2.5), Fault("overloaded", retry_after=at)]) as server:
        with pytest.raises(genai.errors.ClientError) as limited:
            gemini(server)
        with pytest.raises(genai.errors.ServerError) as overloaded:
            gemini(server)
    *_, info = limited.value.details["error"]["details"]
    assert (info["@type"].rpartition(".")[2], info["retryDelay"]) == ("RetryInfo", "2.5s")
    assert "retry-after" not in limited.value.response.headers
    assert overloaded.value.response.headers["retry-after"] == "Wed, 25 Nov 2026 21:00:05 GMT"


def test_a_refused_prompt_is_no_error():
    with ModelServer([Fault("prompt_refused")] * 2) as server:
        answers = [gemini(server), *gemini(server, stream=True)]
    for answer in answers:
        assert answer.prompt_feedback.block_reason == "PROHIBITED_CONTENT"
        assert answer.candidates is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("hang", "ReadTimeout", "timed out"),
        ("stalled", "ReadTimeout", "timed out"),
        ("dropped", "RemoteProtocolError", "disconnected without sending a response"),
        ("reset", "ReadError", "reset by peer"),
        ("cut_off", "RemoteProtocolError", "without sending complete message body"),
    ],
)
def test_a_broken_connection(kind: Any, error: str, words: str, stream: bool):
    waits = error == "ReadTimeout"
    with ModelServer([Fault(kind)]) as server, pytest.raises(httpx.HTTPError) as caught:
        gemini(server, stream=stream, timeout=0.3 if waits else 20)
    assert type(caught.value).__name__ == error
    assert words in told(caught.value)


def test_bodies_that_are_no_answer():
    kinds: list[Any] = ["half_body", "no_json", "error_in_stream", "empty", "wrong_schema"]
    with ModelServer([Fault(kind) for kind in kinds]) as server:
        with pytest.raises(json.JSONDecodeError):
            gemini(server)
        with pytest.raises(json.JSONDecodeError):
            gemini(server)
        with pytest.raises(genai.errors.ServerError):
            gemini(server)
        assert gemini(server).candidates == []
        assert gemini(server).candidates is None
    with ModelServer([Fault(kind) for kind in kinds]) as server:
        half = gemini(server, stream=True)
        assert [a.candidates[0].finish_reason for a in half] == [
            None
        ] * 3  # the end is missing, nobody is told
        with pytest.raises(genai.errors.UnknownApiResponseError, match="Failed to parse response as JSON"):
            gemini(server, stream=True)
        with pytest.raises(genai.errors.ServerError, match="overloaded"):
            gemini(server, stream=True)
        assert [a.candidates for a in gemini(server, stream=True)] == [[]]
        assert [a.candidates for a in gemini(server, stream=True)] == [None]


@pytest.mark.parametrize(
    ("kind", "finish", "said"),
    [
        ("refused", "PROHIBITED_CONTENT", None),
        ("filtered", "SAFETY", None),
        ("cut_short", "MAX_TOKENS", "hello,"),
        ("blank", "STOP", None),
        ("unknown_tool", "STOP", ("no_such_tool", {})),
        ("bad_arguments", "MALFORMED_FUNCTION_CALL", None),  # what is no JSON does not leave Gemini
        ("wrong_types", "STOP", ("find", {"q": {"not": "a text"}, "n": "not of this type"})),
    ],
)
def test_a_model_that_does_not_do_what_it_should(kind: Any, finish: str, said: Any):
    with ModelServer(lambda _: says("hello, world"), faults=[FaultRule(kind)]) as server:
        answer = gemini(server, tools=FIND)
        *_, last = gemini(server, tools=FIND, stream=True)
    (candidate,) = answer.candidates
    assert candidate.finish_reason == finish == last.candidates[0].finish_reason
    if isinstance(said, tuple):
        assert [(c.name, c.args) for c in answer.function_calls] == [said]
    else:
        assert answer.function_calls is None
        assert (answer.text or None) == said
