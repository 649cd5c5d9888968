"""What the raw clients of OpenAI and Anthropic send and get, in words of neither: for the journal, prices and policies.

It reads three protocols (chat completions, responses, messages), plain and streamed. What it does not know it leaves
out: the recorded bytes are what the client gets again, whatever this makes of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import pydantic_core

from ...core.codec import Shape, own_shape
from ...runtime.conversation.messages import Usage
from ...runtime.frameworks.crossing import Asked, Offered, Seen

__all__ = ["ANSWER", "Answer", "asked_of", "hosted_in", "is_model_path", "seen_in"]

_PATHS = ("/chat/completions", "/completions", "/responses", "/messages", "/embeddings")
_GEMINI = (":generateContent", ":streamGenerateContent")


def is_model_path(path: str) -> bool:
    """Whether a POST there asks a model."""
    return path.endswith(_PATHS) or path.endswith(_GEMINI)


class Answer(NamedTuple):
    """A response, without what is secret, or holds for this one connection only."""

    status: int
    kind: str
    """of its content"""
    body: bytes


def _dump(value: Any) -> bytes:
    answer: Answer = value
    return pydantic_core.to_json(
        {"status": answer.status, "type": answer.kind, "body": answer.body.decode(errors="surrogateescape")}
        if _is_text(answer.body)
        else {"status": answer.status, "type": answer.kind, "hex": answer.body.hex()}
    )


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _load(data: bytes) -> Answer:
    told: dict[str, Any] = pydantic_core.from_json(data)
    body = told["body"].encode() if "body" in told else bytes.fromhex(told["hex"])
    return Answer(told["status"], told["type"], body)


ANSWER: Shape[Answer] = own_shape(Answer, _dump, _load)


# what is asked -------------------------------------------------------------------------------------------------------

_SAID = ("messages", "input", "prompt")
_TOLD = ("system", "instructions")
_FORM = ("response_format", "output_config", "output_format", "tool_choice")
_NOT_SETTINGS = {
    *_SAID,
    *_TOLD,
    *_FORM,
    "model",
    "tools",
    "stream",
    "stream_options",
    "metadata",
    "user",
    "text",
}


def asked_of(provider: str, path: str, body: Mapping[str, Any], uncovered: list[str]) -> Asked:
    """What a request asks: tools and the form of the answer are hard, what is said is soft."""
    text: Any = body.get("text")
    forms = {name: body[name] for name in _FORM if name in body}
    if isinstance(text, dict) and "format" in text:
        forms["text"] = cast("dict[str, Any]", text)["format"]
    return Asked(
        model=f"{provider}:{body.get('model', 'unknown')}",
        messages=_meant([body.get(name) for name in _SAID if name in body]),
        settings={name: value for name, value in body.items() if name not in _NOT_SETTINGS},
        tools=[_offered(tool) for tool in _tools(body)],
        output=[_end_of(path), forms],
        instructions=_meant([body.get(name) for name in _TOLD if name in body]),
        uncovered=uncovered,
        prompt_tokens=lambda: _tokens(body),
    )


_PER_TOKEN = 3
"""Characters of JSON: of most texts there are four or more to a token."""


def _tokens(body: Mapping[str, Any]) -> int:
    return len(json.dumps(body)) // _PER_TOKEN + 1


def hosted_in(body: Mapping[str, Any]) -> list[str]:
    """Names of the tools that the provider runs itself."""
    found: list[str] = []
    for tool in _tools(body):
        kind = str(tool.get("type", "function"))
        if kind not in ("function", "custom") and "input_schema" not in tool:
            found.append(str(tool.get("name") or tool.get("server_label") or kind))
    found += [str(server.get("name", "mcp")) for server in body.get("mcp_servers") or ()]
    return found


def _end_of(path: str) -> str:
    return next((end for end in (*_PATHS, *_GEMINI) if path.endswith(end)), path)


def _tools(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    tools: Any = body.get("tools") or []
    return [cast("dict[str, Any]", tool) for tool in tools if isinstance(tool, dict)]


def _offered(tool: Mapping[str, Any]) -> Offered:
    inner: Mapping[str, Any] = tool.get("function") or tool
    name = inner.get("name") or inner.get("server_label") or inner.get("type") or "tool"
    return Offered(str(name), inner.get("description"), inner.get("parameters") or inner.get("input_schema"))


_IDS = ("id", "call_id", "tool_call_id", "tool_use_id", "cache_control", "signature", "encrypted_content")


def _meant(value: Any) -> Any:
    """Without what a provider or a client made up: ids, signatures."""
    if isinstance(value, dict):
        return {k: _meant(v) for k, v in cast("dict[str, Any]", value).items() if k not in _IDS}
    if isinstance(value, list):
        return [_meant(part) for part in cast("list[Any]", value)]
    return value


# what comes back -----------------------------------------------------------------------------------------------------


class _Sum:
    """What the pieces of an answer add up to."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.finish: str | None = None
        self.calls: list[str] = []
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.used: dict[str, int] = {}

    def add(self, piece: Mapping[str, Any]) -> None:
        """One JSON body, or one event of a stream."""
        kind = piece.get("type")
        if kind in ("response.completed", "response.incomplete", "message_start"):
            inner: Any = piece.get("response") or piece.get("message")
            self.whole(inner)
        elif kind == "content_block_start":
            self._block(piece.get("content_block") or {})
        elif kind == "content_block_delta":
            self._block(piece.get("delta") or {})
        elif kind == "message_delta":
            delta: Mapping[str, Any] = piece.get("delta") or {}
            self.finish = delta.get("stop_reason") or self.finish
            self._usage(piece.get("usage"))
        elif not str(kind).startswith("response."):
            self.whole(piece)

    def whole(self, body: Mapping[str, Any]) -> None:
        """A body of any protocol; of chat completions also a chunk."""
        self.model = body.get("model") or self.model
        self.finish = body.get("stop_reason") or body.get("status") or self.finish
        self._usage(body.get("usage"))
        for choice in (body.get("choices") or ())[:1]:
            said: Mapping[str, Any] = choice.get("message") or choice.get("delta") or {}
            self.finish = choice.get("finish_reason") or self.finish
            self.text.append(said.get("content") or choice.get("text") or "")
            for called in said.get("tool_calls") or ():
                function: Mapping[str, Any] = called.get("function") or {}
                if function.get("name"):
                    self.calls.append(str(function["name"]))
        for item in body.get("output") or ():
            if item.get("type") == "message":
                self.text += [
                    part.get("text") or part.get("refusal") or "" for part in item.get("content") or ()
                ]
            elif item.get("type") == "reasoning":
                self.reasoning += [part.get("text", "") for part in item.get("summary") or ()]
            elif item.get("name"):
                self.calls.append(item["name"])
        content: Any = body.get("content")
        if isinstance(content, list):
            for block in cast("list[Mapping[str, Any]]", content):
                self._block(block)

    def _block(self, block: Mapping[str, Any]) -> None:
        if block.get("type") in ("tool_use", "server_tool_use"):
            self.calls.append(str(block.get("name")))
        self.text.append(block.get("text") or "")
        self.reasoning.append(block.get("thinking") or "")

    def _usage(self, told: Any) -> None:
        if not isinstance(told, dict):
            return
        used = cast("dict[str, Any]", told)
        details: dict[str, Any] = {}
        for name in (
            "prompt_tokens_details",
            "completion_tokens_details",
            "input_tokens_details",
            "output_tokens_details",
        ):
            details |= used.get(name) or {}
        cached = used.get("cache_read_input_tokens")
        written = used.get("cache_creation_input_tokens")
        entered = used.get("prompt_tokens", used.get("input_tokens"))
        if isinstance(entered, int) and (cached or written):  # Anthropic counts them apart
            entered += (cached or 0) + (written or 0)
        found = {
            "input_tokens": entered,
            "output_tokens": used.get("completion_tokens", used.get("output_tokens")),
            "cached_tokens": cached if cached is not None else details.get("cached_tokens"),
            "cache_write_tokens": written,
            "reasoning_tokens": details.get("reasoning_tokens"),
        }
        self.used |= {name: n for name, n in found.items() if isinstance(n, int)}


def seen_in(answer: Answer) -> Seen:
    """What is to be seen of an answer."""
    found = _Sum()
    try:
        for piece in _pieces(answer):
            found.add(piece)
    except (AttributeError, TypeError, KeyError, ValueError):
        pass  # of a protocol that is not known: the client makes of it what it can
    return Seen(
        usage=Usage(**{k: v for k, v in found.used.items()}),
        model=found.model,
        finish_reason=found.finish,
        calls=found.calls,
        text="".join(found.text) or None,
        reasoning="".join(found.reasoning) or None,
    )


def _pieces(answer: Answer) -> Iterator[dict[str, Any]]:
    if "event-stream" not in answer.kind:
        yield json.loads(answer.body)
        return
    for line in answer.body.decode(errors="replace").splitlines():
        told = line.removeprefix("data:").strip()
        if line.startswith("data:") and told.startswith("{"):
            yield json.loads(told)
