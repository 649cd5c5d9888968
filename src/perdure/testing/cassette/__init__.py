"""Cassettes: real traffic with providers, recorded once, for tests that need no network.

    with Recorder("shop.json"):                     # or `perdure record --out shop.json COMMAND`
        ...
    with ModelServer(Cassette("shop.json")) as server:
        ...

Secrets do not get into the file. In a test with pytest, the fixture `cassette` does both (`Deck`).
"""

from __future__ import annotations

from .cassette import Cassette
from .deck import Deck
from .exchange import Exchange, ToolCalled
from .recorder import Recorder
from .tape import is_cassette
from .tools import ToolPlayer, send_calls, watching

__all__ = [
    "Cassette",
    "Deck",
    "Exchange",
    "Recorder",
    "ToolCalled",
    "ToolPlayer",
    "is_cassette",
    "send_calls",
    "watching",
]
