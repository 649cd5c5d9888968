"""The server itself: where it is, how it hangs and comes back, what it is as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from perdure import App, Run
from perdure.testing import Fault, FaultRule, ModelServer, Reply, Turns
from perdure.testing.model_server import asks, gives, says

BODY = {"model": "gpt-5", "messages": [{"role": "user", "content": "go"}]}


def post(url: str, body: Any = BODY) -> dict[str, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@contextmanager
def connection(server: ModelServer) -> Iterator[socket.socket]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as there:
        yield there


def http(body: bytes, *, path: str = "/v1/chat/completions", method: str = "POST", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer_to(file: Any) -> tuple[str, Any]:
    head = ""
    while not head.endswith("\r\n\r\n"):
        head += file.readline().decode()
    length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
    return head, json.loads(file.read(length))


def test_a_request_that_hangs_goes_on_when_it_is_released():
    answers: list[dict[str, Any]] = []
    with ModelServer(lambda _: says("late"), faults=[FaultRule("hang", first=1)]) as server:
        thread = threading.Thread(
            target=lambda: answers.append(post(server.openai_url + "/chat/completions"))
        )
        thread.start()
        server.wait_until(lambda s: s.outcomes["hang"] == 1)
        assert answers == []
        server.release()
        thread.join()
    assert answers[0]["choices"][0]["message"]["content"] == "late"
    assert server.outcomes == {"hang": 1}


def test_a_stalled_stream_goes_on_when_it_is_released():
    with ModelServer([Fault("stalled", after=1)]) as server, connection(server) as there:
        there.sendall(http(json.dumps({**BODY, "stream": True}).encode()))
        got = b""
        while b'"role": "assistant"' not in got:
            got += there.recv(4096)
        assert b"[DONE]" not in got
        server.release()
        while b"[DONE]" not in got:
            got += there.recv(4096)


def test_a_client_that_does_not_wait_is_noticed():
    with ModelServer([Fault("hang")]) as server:
        with connection(server) as there:
            there.sendall(http(json.dumps(BODY).encode()))
            server.wait(1)
        server.wait_until(lambda s: s.outcomes["abandoned"] == 1)


def test_waiting_for_what_does_not_come_says_what_came():
    with ModelServer([says("x")]) as server:
        post(server.openai_url + "/chat/completions")
        assert [r.number for r in server.wait(1)] == [1]
        with pytest.raises(TimeoutError, match="1 of 2 requests came"):
            server.wait(2, timeout=0)
        with pytest.raises(TimeoutError, match="'answered': 1"):
            server.wait_until(lambda s: s.outcomes["answered"] == 2, timeout=0)


async def test_a_loop_waits_without_standing_still():
    async with ModelServer([says("x")]) as server:
        asked = asyncio.to_thread(post, server.openai_url + "/chat/completions")
        answer, (request,) = await asyncio.gather(asked, server.wait_for(1))
    assert answer["choices"][0]["message"]["content"] == "x"
    assert request.last == "go"


def test_down_and_up_again_on_the_same_port():
    with ModelServer([says("one"), says("two")]) as server:
        url = server.openai_url + "/chat/completions"
        post(url)
        with connection(server) as there:
            server.down()
            assert there.recv(1) == b""  # an open connection is closed
        with pytest.raises(OSError, match="refused"):
            post(url)
        server.up()
        assert post(url)["choices"][0]["message"]["content"] == "two"


def test_a_port_of_ones_own_choice_that_is_taken():
    with ModelServer([]) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), ModelServer([], port=port):
            pass
        with pytest.raises(OSError, match="in use"):
            ModelServer([], port=port).start()


def test_a_client_whose_next_request_comes_early_has_not_gone():
    n = 5
    with ModelServer(lambda r: Reply(text=str(r.number), delay=0.001)) as server, connection(server) as there:
        there.sendall(http(json.dumps(BODY).encode()) * n)
        file = there.makefile("rb")
        answers = [answer_to(file) for _ in range(n)]
    assert [body["choices"][0]["message"]["content"] for _, body in answers] == list("12345")
    assert server.outcomes == {"answered": n}


def test_a_body_in_chunks_and_a_compressed_one():
    import gzip

    body = json.dumps(BODY).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:10], body[10:])) + b"0\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    with ModelServer(lambda _: says("x")) as server:
        zipped = http(gzip.compress(body), more="Content-Encoding: gzip\r\n")
        for n, raw in enumerate((head + chunked, zipped), 1):
            with connection(server) as there:
                there.sendall(raw)
                server.wait(n)
    assert [r.last for r in server.requests] == ["go", "go"]


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (http(b"", path="/v1/models", method="GET"), 404, "does not know GET /v1/models"),
        (http(b'{"model": "x"}'), 400, "the body is not one of openai-chat: KeyError: 'messages'"),
        (http(b"half"), 400, "the body is not one of openai-chat: JSONDecodeError"),
        (http(b"[]", path="/v1/messages"), 400, "the body is not one of anthropic"),
        (http(b'{"previous_response_id": "r", "model": "x"}', path="/v1/responses"), 400, "'r' not found"),
    ],
)
def test_what_is_no_request_of_a_protocol(raw: bytes, status: int, words: str):
    with ModelServer([]) as server, connection(server) as there:
        there.sendall(raw)
        head, body = answer_to(there.makefile("rb"))
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert words in body["error"]["message"]
    assert server.requests == []


def test_a_slow_stream_is_paced_and_headers_are_the_replys():
    reply = Reply(text="a b c", pace=0.001, headers=(("x-request-id", "req_7"),))
    with ModelServer([reply]) as server, connection(server) as there:
        there.sendall(http(json.dumps({**BODY, "stream": True}).encode()))
        got = b""
        while b"[DONE]" not in got:
            got += there.recv(4096)
    assert b"x-request-id: req_7" in got


# unchanged programs -------------------------------------------------------------------------------------------------


class Plan(BaseModel):
    angle: str


PROGRAM = """
import anthropic, google.genai, openai
print(openai.OpenAI().responses.create(model="gpt-5", input="a").output_text)
print(anthropic.Anthropic().messages.create(
    model="claude-opus-4-8", max_tokens=9, messages=[{"role": "user", "content": "b"}]).content[0].text)
client = google.genai.Client()
print(client.models.generate_content(model="gemini-3-pro", contents="c").text)
"""


@pytest.mark.soak
def test_unchanged_programs_come_here_by_their_environment():
    pytest.importorskip("pydantic_ai", reason='needs the clients: pip install "perdure[models]"')
    with ModelServer(lambda r: says(f"{r.protocol} {r.last}")) as server:
        around = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", **server.environ()}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=around,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.stdout.split("\n")[:3] == ["openai-responses a", "anthropic b", "gemini c"], done.stderr


@pytest.mark.parametrize(
    "model", ["openai-chat:gpt-5", "openai:gpt-5", "anthropic:claude-opus-4-8", "google:gemini-3-pro"]
)
async def test_an_agent_of_perdure_finishes_its_loop(model: str, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pydantic_ai", reason='needs pydantic-ai: pip install "perdure[models]"')
    app = App("memory://")

    @app.tool(effect="read")
    def find(q: str) -> str:
        return f"{q} found"

    @app.agent("planner")
    async def planner(run: Run) -> str:
        return (await run.model(model, "go", tools=[find], output=Plan)).angle

    async with ModelServer(Turns([asks("find", q="acme"), gives({"angle": "cost"})])) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        async with app:
            assert await (await app.start(planner)).result() == "cost"
        await app.models.close()
    assert [r.results for r in server.requests] == [0, 1]
    assert server.requests[1].last == "acme found"


# a process ----------------------------------------------------------------------------------------------------------


def started(path: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "perdure.testing.model_server", str(path), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"rules": [{"reply": "hello"}]}))
    return path


def test_a_server_of_its_own_tells_where_it_is_and_what_it_was_asked(script: Path):
    with started(script, "--json") as process:
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline())
            assert first["environ"]["OPENAI_BASE_URL"] == first["url"] + "/v1"
            answer = post(first["url"] + "/v1/chat/completions")
            assert answer["choices"][0]["message"]["content"] == "hello"
            told = json.loads(process.stdout.readline())
            assert (told["request"], told["protocol"], told["last"]) == (1, "openai-chat", "go")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_server_of_its_own_for_people_and_for_shells(script: Path):
    for options, expected in (
        ((), "model server on http://127.0.0.1:"),
        (("--env",), "export OPENAI_BASE_URL="),
    ):
        with started(script, *options) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(expected)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def test_a_server_of_its_own_without_a_script(tmp_path: Path):
    with started(tmp_path / "none.toml") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert err.startswith("error: the script of model ")
