"""Real HTTP servers on loopback that say what they were sent."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Echo:
    """A server, and the requests that came: method, path, headers (names in lower case) and body."""

    server: ThreadingHTTPServer
    scheme: str = "http"
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def carried(self, header: str = "authorization") -> list[str | None]:
        return [one["headers"].get(header) for one in self.seen]


@contextmanager
def echoing(context: ssl.SSLContext | None = None) -> Iterator[Echo]:
    """`/to?url=...` redirects, `/big?bytes=N` answers so much, `/bomb?bytes=N` so much packed, all else is echoed."""
    made: Echo

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            told = {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": self.rfile.read(length).decode(),
            }
            made.seen.append(told)
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/to":
                self.send_response(307)
                self.send_header("location", query["url"])
                self.send_header("content-length", "0")
                self.end_headers()
                return
            body = json.dumps(told).encode()
            self.send_response(200)
            if parts.path == "/big":
                body = b"x" * int(query["bytes"])
            if parts.path == "/bomb":
                body = gzip.compress(b"x" * int(query["bytes"]))
                self.send_header("content-encoding", "gzip")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # who has asked has heard enough

        do_GET = do_POST = do_PUT = answer

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Echo(server, "http" if context is None else "https")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
