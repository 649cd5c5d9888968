"""A model provider on loopback: real HTTP, answers by script, faults on demand, every request kept.

It speaks OpenAI's chat completions and responses, Anthropic's messages and Gemini's `generateContent`, streamed and
not, and both companies' embeddings, so that programs meet it through the same client library as the real one:

    async with ModelServer(Turns([asks("search", q="acme"), says("done")])) as server:
        client = AsyncOpenAI(base_url=server.openai_url, api_key="none")
        ...
        assert server.count(turn=2) == 1

`python -m perdure.testing.model_server SCRIPT --port N` is a server of its own.
"""

from __future__ import annotations

from .faults import FAULTS, Fault, FaultKind, breaks
from .reply import Finish, Reply, asks, call, gives, says
from .request import ProtocolName, Request
from .script import Answer, FaultRule, Match, Rule, Rules, Script, Turns
from .server import ModelServer

__all__ = [
    "FAULTS",
    "Answer",
    "Fault",
    "FaultKind",
    "FaultRule",
    "Finish",
    "Match",
    "ModelServer",
    "ProtocolName",
    "Reply",
    "Request",
    "Rule",
    "Rules",
    "Script",
    "Turns",
    "asks",
    "breaks",
    "call",
    "gives",
    "says",
]
