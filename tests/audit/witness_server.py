"""A witness, by the book (C2SP `tlog-witness`), over HTTP on the loopback."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from perdure.audit import (
    Checkpoint,
    ProofFailed,
    SignedNote,
    Signer,
    VerifierKey,
    open_checkpoint,
    verify_consistency,
)
from perdure.audit.notes import WITNESS
from perdure.core.errors import BadSignature


class WitnessServer:
    """Cosigns the logs whose keys it knows, and remembers the newest checkpoint of each."""

    def __init__(self, *logs: VerifierKey) -> None:
        self.signer = Signer.new("witness.example", type=WITNESS)
        self.logs = {log.name: log for log in logs}
        self.seen: dict[str, Checkpoint] = {}
        self.asked: list[int] = []
        """the old size of each request"""
        self.time = 1_700_000_000
        self.url = ""

    def add(self, body: str) -> tuple[int, str, str]:
        """The answer: status, type, body."""
        head, _, note = body.partition("\n\n")
        first, *proof = head.split("\n")
        old = int(first.removeprefix("old "))
        self.asked.append(old)
        told = Checkpoint.parse(SignedNote.parse(note).text)
        if told.origin not in self.logs:
            return 404, "text/plain", "unknown log"
        try:
            open_checkpoint(note, [self.logs[told.origin]])
        except BadSignature:
            return 403, "text/plain", "no known signature"
        known = self.seen.get(told.origin)
        size = known.size if known else 0
        if old > told.size:
            return 400, "text/plain", "old is too large"
        if old != size:
            return 409, "text/x.tlog.size", f"{size}\n"
        if known and told.size == size and told.root != known.root:
            return 409, "text/plain", "another root"
        try:
            before = known.root if known else Checkpoint("", 0, b"").root
            if known and told.size != size:
                verify_consistency(
                    size, before, told.size, told.root, [base64.b64decode(line) for line in proof]
                )
            elif proof:
                return 422, "text/plain", "a proof where none is due"
        except ProofFailed as error:
            return 422, "text/plain", str(error)
        self.seen[told.origin] = told
        return 200, "text/plain", self.signer.sign(told.text(), at=self.time).line()


@contextmanager
def serving(witness: WitnessServer) -> Iterator[WitnessServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            status, kind, answer = (
                witness.add(body) if self.path == "/w/add-checkpoint" else (404, "text/plain", "no such path")
            )
            self.send_response(status)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    witness.url = f"http://127.0.0.1:{server.server_port}/w"
    try:
        yield witness
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
