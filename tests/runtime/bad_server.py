"""A real HTTP server on loopback that answers as it is told, and worse."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class BadServer:
    port: int = 0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    manner: str = "answer"
    """`answer`; `hang`: take the request and say nothing; `close`: hang up; `cut`: half of the body"""
    asked: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> None:
        self.manner, self.status, self.headers = "answer", status, headers or {}
        self.body = body.encode() if isinstance(body, str) else body


@contextmanager
def misbehaving() -> Iterator[BadServer]:
    told = BadServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked += 1
            self.close_connection = True
            if told.manner == "close":
                return
            if told.manner == "hang":
                told.over.wait(30)
                return
            self.send_response(told.status)
            named = {name.lower() for name in told.headers}
            for name, value in told.headers.items():
                self.send_header(name, value)
            if "content-type" not in named:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told.body) * (2 if told.manner == "cut" else 1)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pytest's output is not for this."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield told
    finally:
        told.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
