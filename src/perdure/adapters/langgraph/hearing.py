"""What a chat model says, as it says it: LangChain tells its callbacks of each piece, here whoever listens as well.

It streams where somebody streams the graph (`stream_mode="messages"`), or the model is told to (`streaming=True`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

__all__ = ["overheard"]


def overheard(manager: Any, say: Callable[[str], object]) -> Any:
    """A copy of a run manager that tells `say` each piece of text too; None for none.

    Of its two ways one is taken: `on_llm_new_token` with chunks, or, where a handler wants them, `on_stream_event`
    with the events of the protocol.
    """
    if manager is None:
        return None
    heard = copy.copy(manager)
    token, event = manager.on_llm_new_token, manager.on_stream_event

    def on_token(piece: Any, *, chunk: Any = None, **named: Any) -> Any:
        # A model with blocks of content hands over a list; its message knows what of them is text.
        say(piece if isinstance(piece, str) else str(chunk.message.text) if chunk is not None else "")
        return token(piece, chunk=chunk, **named)

    def on_event(told: Any, **named: Any) -> Any:
        delta = told.get("delta") if told.get("event") == "content-block-delta" else None
        if delta and delta.get("type") == "text-delta":
            say(delta.get("text") or "")
        return event(told, **named)

    heard.on_llm_new_token, heard.on_stream_event = on_token, on_event
    return heard
