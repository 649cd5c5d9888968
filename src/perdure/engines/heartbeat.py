"""The heartbeat: a thread of its own, so that a blocked event loop does not cost the claim."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..core.clock import Clock
from ..core.errors import StoreError
from ..journal import Store
from ..runtime import Lease

__all__ = ["Heartbeat"]

log = logging.getLogger("perdure.worker")


class Heartbeat:
    """Renews a lease three times in its length, until stopped. `on_lost` is called from the thread."""

    def __init__(self, store: Store, lease: Lease, clock: Clock, on_lost: Callable[[], None]) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="perdure-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; does not wait for a renewal under way."""
        self._stop.set()

    def beat(self) -> None:
        """Renew once, now."""
        asked_at = self._clock.monotonic()
        try:
            kept = self._store.renew(self._lease.session).result(timeout=self._lease.seconds)
        except (StoreError, TimeoutError) as error:
            log.warning("the lease was not renewed: %s", error)
            return
        if kept:
            self._lease.renewed(asked_at)
        elif not self._stop.is_set():
            self._lease.end()
            self._on_lost()

    def _run(self) -> None:
        while not self._stop.wait(self._lease.seconds / 3):
            self.beat()
