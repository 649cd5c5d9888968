"""A receiver of payments: a real HTTP server that honours idempotency keys, and misbehaves when told."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 0.3
"""Seconds after which a client gives up on an answer."""


class Receiver:
    """What it was sent, and what it made of it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """the idempotency key of each POST"""
        self.payments: dict[str, str] = {}
        """by idempotency key"""
        self.manners: list[str] = []
        """of the next POSTs: `answer`, `hang` (after it was booked), `lose` (hang, and book nothing)"""
        self.address = ("127.0.0.1", 0)
        self.over = threading.Event()

    def post(self, order: str, key: str) -> str:
        """As a client: raises `TimeoutError` where no answer comes, `ConnectionRefusedError` where nobody listens."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request("POST", "/payments", json.dumps(order), {"Idempotency-Key": key})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def find(self, key: str) -> str | None:
        """As a client: the receipt of a payment, or None."""
        connection = http.client.HTTPConnection(*self.address, timeout=5)
        try:
            connection.request("GET", f"/payments/{key}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def book(self, key: str, order: str) -> str | None:
        """What the server does with a POST; None: hang."""
        self.requests.append(key)
        manner = self.manners.pop(0) if self.manners else "answer"
        if manner != "lose":
            self.payments.setdefault(key, f"receipt {len(self.payments) + 1} for {order}")
        return self.payments[key] if manner == "answer" else None


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receipt = receiver.book(self.headers["Idempotency-Key"], order)
            if receipt is None:
                receiver.over.wait(30)
            else:
                self.answer(receipt)

        def do_GET(self) -> None:
            self.answer(receiver.payments.get(self.path.removeprefix("/payments/")))

        def answer(self, what: str | None) -> None:
            body = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(receiver.address, Handler)
    receiver.address = ("127.0.0.1", server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
