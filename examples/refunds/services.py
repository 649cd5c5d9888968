"""What is around the desk: a payment service, and the people of the shift, who are told by a webhook. Real HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from perdure import BadSignature, verify_webhook

ORDERS = {
    "A-101": ("desk lamp", 30_00),
    "A-102": ("office chair", 80_00),
    "A-104": ("wall clock", 45_00),
    "A-105": ("tea kettle", 20_00),
    "A-106": ("door mat", 25_00),
    "A-108": ("umbrella", 35_00),
}


class Service(ThreadingHTTPServer):
    """On loopback, in threads of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status, answer = outer.answer(
                    self.command, self.path, dict(self.headers), self.rfile.read(length)
                )
                body = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # whoever asked has been killed meanwhile

            do_GET = do_POST = handle_any

            def log_message(self, format: str, *args: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        raise NotImplementedError

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class PaymentService(Service):
    """Pays once for each idempotency key. It books the order `holds` and then keeps its answer to itself."""

    def __init__(self, *, holds: str = "") -> None:
        self.receipts: list[dict[str, Any]] = []
        self.asked: list[str] = []
        """the key of each request to pay, repeated ones too"""
        self.looked_up: list[str] = []
        self.holds = holds
        self.booked = threading.Event()
        self.go_on = threading.Event()
        self._lock = threading.Lock()
        super().__init__()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        url = urlsplit(path)
        if method == "POST":
            return self._pay(json.loads(body), headers["Idempotency-Key"])
        if url.path == "/refunds":
            prefix = parse_qs(url.query)["key"][0]
            return 200, [receipt for receipt in self.receipts if receipt["key"].startswith(prefix)]
        order = url.path.rpartition("/")[2]
        self.looked_up.append(order)
        if order not in ORDERS:
            return 404, {"error": "no such order"}
        article, cents = ORDERS[order]
        return 200, {"order": order, "article": article, "paid_cents": cents}

    def _pay(self, asked: dict[str, Any], key: str) -> tuple[int, Any]:
        order, cents = asked["order"], asked["cents"]
        with self._lock:
            self.asked.append(key)
            receipt = next((r for r in self.receipts if r["key"] == key), None)
            if receipt is None:
                if order not in ORDERS or not 0 < cents <= ORDERS[order][1]:
                    return 422, {"error": f"{cents} cents were not paid for order {order}"}
                receipt = {
                    "refund": f"R-{len(self.receipts) + 1}",
                    "order": order,
                    "cents": cents,
                    "refunded": f"${cents / 100:.2f}",
                    "key": key,
                }
                self.receipts.append(receipt)
        if order == self.holds:
            self.booked.set()
            self.go_on.wait(30)
        return 200, receipt


class Shift(Service):
    """Takes signed webhooks, and drops what it has seen or what nobody it knows has signed."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.told: dict[str, dict[str, Any]] = {}
        """notices by their id"""
        self.heard = threading.Event()
        self.turned_away = 0
        super().__init__()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        try:
            said = verify_webhook(self.secret, headers, body)
        except BadSignature as error:
            self.turned_away += 1
            return 401, {"error": str(error)}
        self.told[said["id"]] = said
        self.heard.set()
        return 200, {"seen": said["id"]}
