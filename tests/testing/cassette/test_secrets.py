"""Canaries: each secret here is seen on the wire, and none of them may be in the file."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import ConfigError
from perdure.testing import ModelServer, Recorder, Reply
from perdure.testing.cassette.redaction import REDACTED, Redaction
from perdure.testing.model_server import Answer, Request, breaks, call, says

KEY = "canary-in-a-header-1"
"""of no form that is known: only the header says what it is"""


def recorded(
    path: Path, script: Any, requests: list[tuple[str, dict[str, str], dict[str, Any]]], **options: Any
) -> str:
    """The text of the cassette, after these (address, headers, body) were sent, each with the key."""
    with ModelServer(script) as upstream:
        addresses = {"openai": upstream.openai_url, "anthropic": upstream.url, "gemini": upstream.url}
        with Recorder(path, upstreams=addresses, **options) as recorder:
            for target, headers, body in requests:
                asked = urllib.request.Request(recorder.url + target, json.dumps(body).encode(), headers)
                try:
                    urllib.request.urlopen(asked, timeout=20).read()
                except urllib.error.HTTPError as error:
                    error.read()
                    error.close()
            sent = {v for r in upstream.requests for v in (*r.headers.values(), r.path)}
            assert not requests or any(KEY in value for value in sent), "the provider does get the key"
    return path.read_text()


CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "go"}]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "go"}]}]}


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("/openai/chat/completions", {"Authorization": f"Bearer {KEY}"}, CHAT),
        ("/openai/chat/completions", {"Authorization": KEY}, CHAT),
        ("/openai/chat/completions", {"api-key": KEY}, CHAT),
        ("/openai/chat/completions", {"OpenAI-Organization": KEY, "OpenAI-Project": KEY}, CHAT),
        ("/openai/chat/completions", {"Cookie": f"a=1; session={KEY}"}, CHAT),
        ("/openai/chat/completions", {"Proxy-Token": KEY}, CHAT),
        ("/anthropic/v1/messages", {"x-api-key": KEY}, {**CHAT, "max_tokens": 9}),
        ("/gemini/v1beta/models/g:generateContent", {"x-goog-api-key": KEY}, GEMINI),
        (f"/gemini/v1beta/models/g:generateContent?key={KEY}&alt=json", {}, GEMINI),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_a_key_is_nowhere_also_where_the_model_or_an_error_repeats_it(
    target: str, headers: dict[str, str], body: dict[str, Any], fails: bool, tmp_path: Path
) -> None:
    said = f"your key is {KEY}, and once more: {KEY}"

    text = recorded(
        tmp_path / "c.json", [breaks(401, said) if fails else says(said)], [(target, headers, body)]
    )

    assert KEY not in text
    assert f"your key is {REDACTED}, and once more" in text
    assert "alt=json" in text or "alt" not in target


SECRETS = {
    "sk-proj-abcDEF0123456789": "Incorrect API key provided: {}.",
    "sk-ant-api03-aaaabbbbccccdddd": "use {} instead",
    "sk-abcde***************wxyz": "Incorrect API key provided: {}.",
    "AIzaSyA-1234567890abcdefghijklmnopqrstuv": "curl -H 'x: {}'",
    "ghp_0123456789abcdefghijABCDEFGHIJ": "git clone {}",
    "xoxb-1234567890-abcdefghijkl": "slack {}",
    "AKIAIOSFODNN7EXAMPLE": "aws {} x",
    "org-a1B2c3D4e5F6g7H8i9J0": "Rate limit reached for gpt-5 in organization {} on tokens",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl": "the token is {}",
    "hunter2secretbearer": "401 for Bearer {} at /v1",
    "dXNlcjpwYXNzd29yZA==": "Authorization: Basic {}",
    "pa55word": "postgresql://ada:{}@db/prod",
    "t0psecret": "https://h/x?api_key={}&b=1",
    "s3cr3t-value": "password={}",
    "s3cr3t-valu3": '{{"db_password": "{}"}}',
    "s3cr3t with words": "Traceback: {{'client_secret': '{}'}}",
    'it\'s "quoted" \\ 9': None,
    "MIIEvQIBADANBg": "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_looks_like_a_secret_is_not_in_the_file(secret: str, stream: bool, tmp_path: Path) -> None:
    form = SECRETS[secret]
    said = json.dumps({"password": secret}) if form is None else form.format(secret)
    messages = [
        {"role": "user", "content": said},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": said}}]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": said}]},
    ]
    answer = Reply(text=said, calls=(("f", said), call("login", api_key=secret)))
    body = {
        "model": "gpt-5",
        "messages": messages,
        "stream": stream,
        "api_key": secret,
        "extra": {"Password": secret},
    }

    text = recorded(
        tmp_path / "c.json",
        [answer],
        [("/openai/chat/completions", {"Authorization": f"Bearer {KEY}"}, body)],
    )

    pieces = [secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1]]
    assert not [piece for piece in pieces if piece in text]
    if stream:
        (one,) = json.loads(text)["exchanges"]
        joined = "".join(
            (choice["delta"].get("content") or "")
            + "".join(made["function"]["arguments"] for made in choice["delta"].get("tool_calls") or ())
            for event in one["stream"][:-1]
            for choice in event["data"]["choices"]
        )
        assert secret not in joined
        assert joined.count(REDACTED) >= 3


def test_secrets_of_the_environment_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB_PASSWORD", "correct horse battery")
    monkeypatch.setenv("SHOP_NAME", "Lamps and more")

    def answer(request: Request) -> Answer:
        return says("connected to Lamps and more with correct horse battery")

    text = recorded(tmp_path / "c.json", answer, [("/openai/chat/completions", {"Authorization": KEY}, CHAT)])

    assert f"connected to Lamps and more with {REDACTED}" in text


def test_the_user_names_more(tmp_path: Path) -> None:
    text = recorded(
        tmp_path / "c.json",
        [says("dear Ada Lovelace, your number is 1815-12-10")],
        [("/openai/chat/completions", {"Authorization": KEY}, CHAT)],
        redact=["Ada Lovelace", r"\d{4}-\d\d-\d\d"],
    )
    assert f"dear {REDACTED}, your number is {REDACTED}" in text

    with pytest.raises(ConfigError, match=r"`\(` is no regular expression"):
        Recorder(tmp_path / "c.json", redact=["("])


def test_what_is_no_secret_stays() -> None:
    clean = Redaction()
    kept = {
        "max_tokens": 100,
        "usage": {"prompt_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}},
        "logprobs": {"content": [{"token": "Hello", "logprob": -0.1, "bytes": [72]}]},
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQBCkYIAxgCKkA"},
            {
                "type": "text",
                "text": "the task-list of my risk-management-plan, a secret garden, no password needed",
            },
        ],
        "tool": {"properties": {"password": {"type": "string"}, "api_key": {"type": "string"}}},
        "id": "resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b",
        "call_id": "call_abcdefghijklmnop1234",
        "count": {"secret": 7, "password": None},
        "model": "gpt-5-2026-11-26",
    }
    assert clean.value(kept) == kept
    delta = {"type": "signature_delta", "signature": "EqQBCkYIAxgCKkA"}
    assert clean.stream([("content_block_delta", {"index": 0, "delta": delta})])[0][1]["delta"] == delta


@given(
    words=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="z"), max_size=30),
    more=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="z"), max_size=30),
    cuts=st.lists(st.integers(0, 80), max_size=8),
)
def test_a_secret_in_pieces_is_found_and_all_else_stays(words: str, more: str, cuts: list[int]) -> None:
    secret = "zzz-canary-zzz"
    whole = words + secret + more + secret
    at = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in pairwise(at)]
    clean = Redaction()
    clean.know([secret])

    events = clean.stream([(None, {"index": 0, "delta": {"text": piece}}) for piece in pieces])

    told = "".join(data["delta"]["text"] for _, data in events)
    assert secret not in told
    assert told.replace(REDACTED, "") == words + more
    assert len(events) == len(pieces)
