"""The bench of memory, layer by layer."""

from __future__ import annotations

from .cases import STORES, Bench, Case, Scale

__all__ = ["FACTS", "MEMORY", "SESSIONS", "VALKEY", "WORKING"]

SESSIONS = "sessions"
WORKING = "working memory"
VALKEY = "sessions on Valkey, each write synced"
FACTS = "knowledge"
CONVERSATIONS = "conversations in one process"


def _memory(scale: Scale) -> list[Case]:
    messages = scale.finished
    arguments = {"messages": messages, "samples": 2_000 if messages > 100_000 else 100}
    takes = 10 + messages / 15_000
    items = 100_000 if messages > 100_000 else 1_000
    full = {"items": items, "asked": 400 if messages > 100_000 else 20}
    many = {"count": scale.held[0], "turns": 8 if messages > 100_000 else 5}
    facts = {"facts": messages, "samples": 1_000 if messages > 100_000 else 100}
    return [
        *(Case(store, SESSIONS, "memory:sessions", arguments, takes) for store in STORES),
        *(Case(store, FACTS, "knowledge:facts", facts, 10 + messages / 8_000) for store in STORES),
        Case("-", VALKEY, "memory:sessions_on_valkey", arguments, takes),
        *(Case(store, WORKING, "memory_working:working", full, 5 + items / 300) for store in STORES),
        *(
            Case(store, CONVERSATIONS, "memory:conversations", many, 10 + scale.held[0] / 15)
            for store in STORES
        ),
    ]


MEMORY = Bench(
    "memory",
    "Memory",
    _memory,
    rounds=lambda scale: 1,
    note="Sessions: a million messages in sessions of 1,000, with as many markers of writes. Latencies are of one "
    "after the other, but where it says how many at once. A turn of a conversation is a run: two appends, one read. "
    "Working memory: 100,000 items of 30 words in one space, each with a vector of 256 numbers. "
    "Knowledge: a million facts about a hundred thousand people, ten of each; two hops go over at most 200 facts.",
)
