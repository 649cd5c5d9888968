"""The table `[memory]` of `perdure.toml`: which backends keep what agents remember beyond a run.

[memory]
sessions = "store"                  # beside the journals, the default; or "redis://USER@HOST:PORT/DATABASE"
sessions_password = "env:NAME"      # where the password of that server is, never the password itself
knowledge = "store"                 # or "falkordb://[USER@]HOST[:PORT]"
knowledge_password = "env:NAME"
one_at_a_time = ["works_at"]        # relations of which one fact holds at a time
embeddings = "wordllama:256"        # or "openai:text-embedding-3-small": working memory is found by meaning, too
review = "untrusted"                # which writes wait for a person; the default is "none"

[memory.shared]
desk = ["billing"]                  # who reads what the agent `desk` alone remembers

[memory.retention]
session = "P90D"                    # how long what is written is kept at most
working = "P30D"
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .mcp_settings import Variable

__all__ = ["MemorySettings", "RetentionOfMemory"]

_REDIS = frozenset({"redis", "rediss", "valkey", "valkeys"})
"""Schemes. Those that end in two `s`, or in `ys`, are encrypted."""
_FALKORDB = frozenset({"falkordb", "falkordbs"})
"""The second is encrypted."""
_REDIS_PARAMETERS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


class RetentionOfMemory(BaseModel):
    """How long the layers keep what is written from now on; without a value, until it is forgotten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    session: timedelta | None = Field(default=None, gt=timedelta())
    working: timedelta | None = Field(default=None, gt=timedelta())

    def rules(self) -> dict[str, timedelta]:
        """By layers, without those that keep everything."""
        return {name: value for name, value in self if isinstance(value, timedelta)}


class MemorySettings(BaseModel):
    """Without a setting a layer is kept in the store of the journals."""

    # An address may hold a password: no message shows what was given.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sessions: str = "store"
    """where conversations and cases are: `store`, beside the journals, or `redis://[USER@]HOST[:PORT][/DATABASE]`"""
    sessions_password: Variable | None = None
    """where the password of that server is"""
    knowledge: str = "store"
    """where dated facts are: `store`, beside the journals, or `falkordb://[USER@]HOST[:PORT]`, or `unix:///SOCKET`"""
    knowledge_password: Variable | None = None
    """where the password of that server is"""
    one_at_a_time: tuple[str, ...] = ()
    """relations of which one fact holds at a time: a later one dates the end of the one before"""
    embeddings: str | None = None
    """the model of embeddings, `provider:name`, that says what texts of the working memory mean"""
    review: Literal["none", "untrusted", "all"] = "none"
    """which writes wait for a person before anybody recalls them: those of runs that have read something untrusted"""
    shared: Mapping[str, tuple[str, ...]] = Field(default_factory=dict[str, "tuple[str, ...]"])
    """by agents: which others read what is theirs alone"""
    retention: RetentionOfMemory = Field(default_factory=RetentionOfMemory)
    """by layers: how long what is written is kept at most"""

    @field_validator("sessions")
    @classmethod
    def _a_backend(cls, given: str) -> str:
        if given == "store":
            return given
        parts = urlsplit(given)
        if parts.scheme not in _REDIS or not parts.hostname:
            raise ValueError('must be "store", or an address as `redis://USER@HOST:PORT/DATABASE`')
        if parts.password is not None or not {n for n, _ in parse_qsl(parts.query)} <= _REDIS_PARAMETERS:
            raise ValueError(
                "may hold no password, and of parameters only `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`: "
                '`sessions_password = "env:NAME"` says where the password is'
            )
        return given

    @field_validator("knowledge")
    @classmethod
    def _a_ledger(cls, given: str) -> str:
        parts = urlsplit(given)
        if given != "store" and not (
            (parts.scheme in _FALKORDB and parts.hostname) or (parts.scheme == "unix" and parts.path)
        ):
            raise ValueError('must be "store", or an address as `falkordb://USER@HOST:PORT`')
        if parts.password is not None or parts.query:
            raise ValueError(
                'may hold no password, and no parameters: `knowledge_password = "env:NAME"` says where the password is'
            )
        return given

    @model_validator(mode="after")
    def _a_password_for_something(self) -> Self:
        if self.sessions == "store" and self.sessions_password is not None:
            raise ValueError("`sessions_password` is for a server, which `sessions` does not name")
        if self.knowledge == "store" and self.knowledge_password is not None:
            raise ValueError("`knowledge_password` is for a server, which `knowledge` does not name")
        return self
