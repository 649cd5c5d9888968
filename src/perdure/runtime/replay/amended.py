"""An append that carried amendments of cells, and was not written because one of them raised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...core.errors import StoreError
from ...journal import Entry

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["go_back_where_it_raises"]


def go_back_where_it_raises(
    recorder: Recorder, before: tuple[Entry, int, bytes], future: asyncio.Future[bool]
) -> None:
    """Let the next entry go on from where the journal ends; `before` is the recorder's last, head and hash until then.

    What was sent behind it meanwhile is refused as superseded, and the run replays from its journal. So, where an
    answer of no is nothing unusual, a change returns it rather than raises it.
    """
    mine = recorder.hash

    def done(future: asyncio.Future[bool]) -> None:
        if recorder.hash == mine and not isinstance(future.exception(), StoreError | None):
            recorder.last, recorder.head, recorder.hash = before

    future.add_done_callback(done)
