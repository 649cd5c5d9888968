"""A listener on loopback: a thread with a loop of its own, so that it answers whatever the client's thread is doing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from .connection import Asking, Connection, Gone

__all__ = ["Listener"]


class Listener:
    """Serves HTTP between `start` and `stop`, or by `with` or `async with`. What it answers is in `_serve`."""

    thread_name = "loopback"

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self._port = host, port
        self._loop: asyncio.AbstractEventLoop
        self._listener: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://{self._host}:{self._port}"

    def down(self) -> None:
        """Refuse connections and close the open ones, as a machine whose service is gone. `up` ends it."""
        self._call(self._stop_listening())

    def up(self) -> None:
        """Listen again, on the same port."""
        self._call(self._listen())

    def start(self) -> Self:
        """Listen; what `with` does. Raises `OSError`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=self.thread_name, daemon=True)
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self._end()
            raise
        return self

    def stop(self) -> None:
        """Close all connections and end the thread; what the end of `with` does."""
        self._call(self._stop_listening())
        self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # in the listener's thread -----------------------------------------------------------------------------------

    async def _serve(self, connection: Connection, asking: Asking) -> bool:
        """Answer one request. False: the connection is not to be used again. Raises `Gone`."""
        raise NotImplementedError

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        """Accepts by itself: asyncio's server leaves a connection open for ever that it accepts while it is closed."""
        self._listener = socket.create_server((self._host, self._port), backlog=1024)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            there, _ = listener.accept()
        except OSError:  # the client is gone again
            return
        there.setblocking(False)
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a stream is many small writes
        task = self._loop.create_task(self._connected(there))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: there.close())  # also where it was cancelled before it began

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _connected(self, there: socket.socket) -> None:
        connection = Connection(*await asyncio.open_connection(sock=there, limit=2**20))
        try:
            while await self._serve(connection, await connection.receive()):
                pass
        except Gone:
            pass
        except asyncio.CancelledError:
            connection.abort()  # the server goes down
        finally:
            await connection.close()
