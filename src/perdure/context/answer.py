"""What an MCP server answered to a call, within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["McpResult", "Open", "kept"]


class Open(BaseModel):
    """A call that is not over: the server asks back, or works on it as a task of its own."""

    model_config = ConfigDict(frozen=True)

    key: str
    """of the effect, over all rounds"""
    asks: dict[str, dict[str, Any]] = {}
    """requests, by the server's own keys, as they stand in the protocol"""
    state: str | None = None
    """what the server wants back with the answers; nobody else's business"""
    task: str | None = None
    """id of the task that it has become"""
    poll: float | None = None
    """seconds after which the server wants to be asked again"""
    said: str = ""
    """how the task stands, in the server's words"""


class McpResult(BaseModel):
    """What a tool of an MCP server has answered. Empty fields say nothing."""

    model_config = ConfigDict(frozen=True)

    text: str = ""
    structured: Any = None
    """JSON, where the tool answers that"""
    failed: bool = False
    """the server says that the call failed; `text` says why"""
    cut: int = 0
    """characters that were too many, and are not here"""
    unanswered: tuple[str, ...] = ()
    """what the server asked of a person while it held the call open: it was told that nobody answers then"""
    open: Open | None = None
    """in the journal alone: the call is not over. Whoever called gets what came of it"""


def kept(
    texts: Sequence[str], structured: Any, *, failed: bool, most: int, secrets: Mapping[str, str]
) -> McpResult:
    """The answer with at most `most` characters, and without the secrets that the server was handed (by name)."""
    text = "\n".join(texts)
    written = "" if structured is None else json.dumps(structured, ensure_ascii=False)
    if written and _same(text, structured):
        text = ""  # servers repeat it as text, for clients that cannot read it
    for name, secret in secrets.items():
        text = text.replace(secret, f"[{name}]")
        # as it stands in JSON: quotes and backslashes are escaped there
        written = written.replace(json.dumps(secret, ensure_ascii=False)[1:-1], f"[{name}]")
    if len(written) > most:  # half a structure is none: it goes on as text
        text, written = (text + "\n" + written if text else written), ""
    room = most - len(written)
    cut = max(0, len(text) - room)
    if cut:
        text = text[:room]
    return McpResult(text=text, structured=json.loads(written) if written else None, failed=failed, cut=cut)


def _same(text: str, structured: Any) -> bool:
    try:
        return json.loads(text) == structured
    except ValueError:
        return False
