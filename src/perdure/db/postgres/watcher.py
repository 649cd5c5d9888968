"""Hearing of news: `LISTEN`, with a look at the writers' rows behind it for where nothing is heard.

What is told is only a reason to look: a session behind a transaction pooler hears nothing, and one whose connection
broke has missed something. Whether there is news is what the rows of `batches` say. Who finds news there again and
again of which nothing was heard is deaf, and looks more often.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import threading
from collections.abc import Callable

import psycopg

from . import queries
from .connection import Link

__all__ = ["Watcher"]

POLL_SECONDS = 0.5
"""How often the writers' rows are looked at although nothing was heard."""

DEAF_POLL_SECONDS = 0.1
"""The same, where nothing is ever heard."""

DEAF_AFTER = 3
"""News in a row of which nothing was heard. One alone may have been found while the word of it was on its way."""

MOST_PAUSE_SECONDS = 5.0
"""The longest wait between two tries to connect."""


log = logging.getLogger("perdure.store")


class Watcher:
    """A thread that calls `on_news` (in that thread) when another store has committed what others may want to see."""

    def __init__(self, url: str, writer: str, on_news: Callable[[], None]) -> None:
        self._link = Link(url)
        self._writer = writer
        self._on_news = on_news
        self._seen = 0
        self._heard = False
        self._unheard = 0
        self._ears, self._mouth = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="perdure-watcher", daemon=True)

    def start(self) -> None:
        """Begin; from when this returns, nothing is missed. Raises psycopg's errors."""
        self._listen()
        self._seen = self._told()
        self._thread.start()

    @property
    def deaf(self) -> bool:
        """Whether news come that are not told, as through a transaction pooler."""
        return self._unheard >= DEAF_AFTER

    def stop(self) -> None:
        """End the thread."""
        self._mouth.send(b"x")
        if self._thread.ident is not None:
            self._thread.join()
        self._link.drop()
        self._ears.close()
        self._mouth.close()

    def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                if self._link.lost:
                    self._listen()
                    self._look()
                pause = 0.05
                if not self._rest(DEAF_POLL_SECONDS if self.deaf else POLL_SECONDS):
                    return
                self._look()
            except psycopg.Error:
                self._link.drop()
                if not self._rest(random.uniform(0, pause)):
                    return
                pause = min(pause * 2, MOST_PAUSE_SECONDS)

    def _listen(self) -> None:
        self._link.get().add_notify_handler(self._hear)
        self._link.execute(queries.LISTEN)

    def _hear(self, _: object) -> None:
        self._heard = True

    def _rest(self, seconds: float) -> bool:
        """Wait until something is heard, or for so long; False if this is the end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._ears, selectors.EVENT_READ)
            if not self._link.lost:
                selector.register(self._link.get().fileno(), selectors.EVENT_READ)
            ready = selector.select(seconds)
        return all(key.fileobj is not self._ears for key, _ in ready)

    def _look(self) -> None:
        told = self._told()
        if self._heard:
            self._unheard = 0
        elif told != self._seen:
            self._unheard += 1
            if self._unheard == DEAF_AFTER:
                log.info(
                    "news of other processes are not told on this connection (a transaction pooler?): looking every "
                    "%g s instead",
                    DEAF_POLL_SECONDS,
                )
        self._heard = False
        if told != self._seen:
            self._seen = told
            self._on_news()

    def _told(self) -> int:
        # Reading the answer also takes what was heard from the socket.
        row = self._link.execute(queries.OTHERS_NEWS, (self._writer,)).fetchone()
        assert row is not None
        return int(row[0])
