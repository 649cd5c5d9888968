"""A proxy before the server that loses what it is told to lose, and can be cut, as a network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable


class Proxy:
    """Listens on a port of its own. Once armed by `lose`, it cuts both sides at the next request with these words.

    Between `cut` and `heal` nothing passes.
    """

    def __init__(self, server: str | tuple[str, int]) -> None:
        self._server = server
        self._words: bytes | None = None
        self._answer = False
        self.lost = threading.Event()
        self._whole = threading.Event()
        self._whole.set()
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def lose(self, words: bytes, *, answer: bool) -> None:
        """Lose the request, or, with `answer`, carry it out and lose the answer."""
        self.lost.clear()
        self._words, self._answer = words, answer

    def cut(self, *, silent: bool) -> None:
        """Let nothing pass. `silent`: what is sent is neither delivered nor refused, until it is `heal`ed."""
        self._whole.clear()
        self._refusing = not silent
        if not silent:
            for end in self._sockets[1:]:
                _shut(end)

    def heal(self) -> None:
        """Let everything pass, and what was on its way."""
        self._refusing = False
        self._whole.set()

    def url(self, database: str) -> str:
        """A database behind the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def close(self) -> None:
        self.heal()
        for end in self._sockets:
            _shut(end)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _begin(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET)
            try:
                server.connect(self._server)
            except OSError:  # it is away
                client.close()
                server.close()
                continue
            self._sockets += [client, server]
            cut = threading.Event()
            for pump in (self._requests, self._answers):
                self._begin(pump, client, server, cut)

    def _requests(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        while data := _received(client):
            self._whole.wait()
            words = self._words
            if words is not None and words in data:
                self._words = None
                cut.set()
                if self._answer:
                    server.sendall(data)
                else:
                    _shut(server)
                    _shut(client)
                    self.lost.set()
                continue
            try:
                server.sendall(data)
            except OSError:
                break
        _shut(server)

    def _answers(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        while data := _received(server):
            if cut.is_set():
                _shut(client)
                _shut(server)
                self.lost.set()
                return
            self._whole.wait()
            try:
                client.sendall(data)
            except OSError:
                break
        _shut(client)


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 20)
    except OSError:
        return b""


def _shut(end: socket.socket) -> None:
    # Not `close`: while another thread waits for the socket, that would tell the peer nothing.
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
