"""A model provider on loopback: real HTTP, answers by script, every request kept.

It speaks OpenAI's chat completions and responses, not streamed, so that programs meet it through the same client
library as the real one:

    with ModelServer([asks("search", q="acme"), says("done")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        ...   # run.model("openai-chat:any", ...) or run.model("openai:any", ...)
        assert len(server.requests) == 2
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = ["ModelServer", "Reply", "asks", "breaks", "says"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the server."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """name and JSON of the arguments of each tool call"""
    reasoning: str = ""
    """told as a summary where the protocol has one (responses)"""
    finish: str = ""
    """`length` and `content_filter` as the protocol says them; else by what is answered"""
    status: int = 200
    tokens: tuple[int, int] = (10, 5)
    """input and output"""


def says(text: str, *, finish: str = "", reasoning: str = "") -> Reply:
    """Answer with a text."""
    return Reply(text=text, finish=finish, reasoning=reasoning)


def asks(name: str, /, **arguments: Any) -> Reply:
    """Ask for one tool."""
    return Reply(calls=((name, json.dumps(arguments)),))


def breaks(status: int, text: str = "broken on purpose") -> Reply:
    """Answer with an HTTP error."""
    return Reply(text=text, status=status)


@dataclass
class ModelServer:
    """Serves `answers` in order, or what a function makes of each request's body, while it is entered.

    A request beyond the last answer gets status 400.
    """

    answers: Sequence[Reply] | Callable[[dict[str, Any]], Reply]
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """bodies of the requests, in the order in which they came"""

    @property
    def url(self) -> str:
        """For `OPENAI_BASE_URL`."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    def __enter__(self) -> Self:
        owner = self

        class Handler(_Handler):
            server_of = owner

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="model server", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: dict[str, Any]) -> tuple[int, Reply]:
        """The number of the request, from 1, and its answer."""
        with self._lock:
            self.requests.append(body)
            n = len(self.requests)
        if callable(self.answers):
            return n, self.answers(body)
        if n > len(self.answers):
            return n, breaks(400, f"request {n} was not expected: {len(self.answers)} answers were given")
        return n, self.answers[n - 1]


class _Handler(BaseHTTPRequestHandler):
    server_of: ModelServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body: dict[str, Any] = json.loads(self.rfile.read(length))
        n, reply = self.server_of.answer(body)
        if reply.status != 200:
            self._send(reply.status, {"error": {"message": reply.text, "type": "scripted", "code": None}})
        elif self.path == "/v1/chat/completions":
            self._send(200, _chat(n, body, reply))
        elif self.path == "/v1/responses":
            self._send(200, _response(n, body, reply))
        else:
            self._send(404, {"error": {"message": f"no such path: {self.path}", "type": "scripted"}})

    def _send(self, status: int, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are kept."""


def _chat(n: int, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """`POST /v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat)."""
    calls = [
        {"id": f"call-{n}-{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(reply.calls)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if calls:
        message["tool_calls"] = calls
    used_in, used_out = reply.tokens
    return {
        "id": f"chat-{n}",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": reply.finish or ("tool_calls" if calls else "stop"),
            }
        ],
        "usage": {
            "prompt_tokens": used_in,
            "completion_tokens": used_out,
            "total_tokens": used_in + used_out,
        },
    }


def _response(n: int, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """`POST /v1/responses` (https://platform.openai.com/docs/api-reference/responses)."""
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        sealed = f"sealed-{n}"
        output.append({"type": "reasoning", "id": f"rs-{n}", "summary": summary, "encrypted_content": sealed})
    if reply.text:
        content: list[dict[str, Any]] = [{"type": "output_text", "text": reply.text, "annotations": []}]
        output.append(
            {
                "type": "message",
                "id": f"msg-{n}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    output += [
        {
            "type": "function_call",
            "id": f"fc-{n}-{i}",
            "call_id": f"call-{n}-{i}",
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for i, (name, arguments) in enumerate(reply.calls)
    ]
    used_in, used_out = reply.tokens
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reply.finish)
    return {
        "id": f"resp-{n}",
        "object": "response",
        "created_at": 1_767_225_600,
        "model": body["model"],
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "error": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": used_in,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": used_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used_in + used_out,
        },
    }
