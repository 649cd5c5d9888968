"""The recorder in between: what breaks off, what is compressed, who leaves early, where clients are led."""

from __future__ import annotations

import gzip
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from perdure.testing import Cassette, FaultRule, ModelServer, Recorder, Reply
from perdure.testing.model_server import says
from tests.testing.cassette.test_replay import There, recorder
from tests.testing.model_server import clients

BODY = json.dumps(
    {"model": "gpt-5", "messages": [{"role": "user", "content": "go"}], "stream": True}
).encode()


def test_an_answer_that_breaks_off_breaks_off_for_the_client_and_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with (
        ModelServer(
            lambda _: says("a long answer of many words"), faults=[FaultRule("cut_off", first=1)]
        ) as upstream,
        recorder(path, upstream) as recording,
    ):
        with pytest.raises(Exception, match=r"(?i)incomplete|closed|connection"):
            clients.messages(There(recording), stream=True)
        clients.messages(There(recording), "again", stream=True)

    (why,) = recording.skipped
    assert why.startswith("POST /v1/messages: the provider's answer broke off")
    assert [one.request["messages"][0]["content"] for one in Cassette(path).exchanges] == ["again"]


def test_who_leaves_in_the_middle_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    slow = Reply(text="word " * 200, pace=0.01)
    with ModelServer([slow, says("second")]) as upstream, recorder(path, upstream) as recording:
        asked = urllib.request.Request(f"{recording.url}/openai/chat/completions", BODY)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert b"role" in answer.readline()
        upstream.wait_until(lambda server: server.outcomes["abandoned"] == 1)
        clients.chat(There(recording))

    assert recording.skipped == ["POST /v1/chat/completions: the client did not wait for the whole answer"]
    assert len(Cassette(path).exchanges) == 1


@contextmanager
def odd_provider(coding: str | None) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """It compresses whatever was asked for, and sends a cookie."""
    told = json.dumps({"data": [], "object": "list"}).encode()
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({k.lower(): v for k, v in self.headers.items()})
            body = gzip.compress(told) if coding == "gzip" else told
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Set-Cookie", "session=canary-cookie; Path=/")
            if coding is not None:
                self.send_header("Content-Encoding", coding)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("coding", [None, "gzip", "br"])
def test_headers_go_on_and_come_back_but_not_into_the_file(coding: str | None, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with odd_provider(coding) as (address, seen), Recorder(path, upstreams={"openai": address}) as recording:
        asked = urllib.request.Request(
            f"{recording.url}/openai/models",
            headers={"X-Title": "shop", "Accept-Encoding": "br", "Cookie": "a=canary-b"},
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.headers["Set-Cookie"] == "session=canary-cookie; Path=/"
            assert answer.headers["Content-Encoding"] == ("br" if coding == "br" else None)
            assert json.load(answer)["object"] == "list"

    assert (seen[0]["x-title"], seen[0]["cookie"], seen[0]["accept-encoding"]) == (
        "shop",
        "a=canary-b",
        "identity",
    )
    assert seen[0]["host"] == address.removeprefix("http://").removesuffix("/v1")
    if coding == "br":
        assert recording.skipped == [
            "GET /v1/models: the answer is compressed in a way that is not known here"
        ]
        assert not path.exists()
        return
    (one,) = Cassette(path).exchanges
    assert (one.method, one.path, one.answer["object"], one.headers) == ("GET", "/v1/models", "list", {})
    assert "canary" not in path.read_text()


def test_clients_are_led_here_and_afterwards_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.com")
    with ModelServer([says("hi")]) as upstream:
        monkeypatch.setenv(
            "OPENAI_API_BASE", upstream.openai_url
        )  # LangChain's name: taken over where it is there
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        before = dict(os.environ)
        with Recorder(tmp_path / "c.json") as recording:
            here = f"{recording.url}/openai"
            assert (os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_BASE"]) == (here, here)
            assert os.environ["NO_PROXY"] == "example.com,127.0.0.1"
            assert "ANTHROPIC_API_URL" not in os.environ
            import openai

            with openai.OpenAI(api_key="none") as client:
                client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "go"}])
        assert dict(os.environ) == before
    assert len(recording.exchanges) == 1


def test_a_path_of_no_provider_is_told(tmp_path: Path) -> None:
    with (
        Recorder(tmp_path / "c.json") as recording,
        pytest.raises(urllib.error.HTTPError, match="404") as error,
    ):
        urllib.request.urlopen(f"{recording.url}/v1/models", timeout=20)
    with error.value as answer:
        assert "its addresses begin with one's name" in json.load(answer)["error"]["message"]
    assert not (tmp_path / "c.json").exists()


def test_who_leaves_when_the_last_event_has_come_has_the_whole_answer(tmp_path: Path) -> None:
    left = threading.Event()
    last = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
            left.wait(20)
            for _ in range(300):  # so that the recorder notices that nobody is there
                self.wfile.write(b": still here" + b"." * 8000 + b"\n\n")
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    path = tmp_path / "c.json"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Recorder(path, upstreams={"openai": f"http://127.0.0.1:{server.server_port}"}) as recording:
                asked = urllib.request.Request(f"{recording.url}/openai/chat/completions", BODY)
                with urllib.request.urlopen(asked, timeout=20) as answer:
                    while b"[DONE]" not in answer.readline():
                        pass
                left.set()
        finally:
            server.shutdown()
            thread.join()

    assert recording.skipped == []
    assert [data for _, data in Cassette(path).exchanges[0].stream or ()] == [last, "[DONE]"]
