"""A call of a LangChain chat model in words of no framework: what it is asked, and what is seen of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pydantic_core
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatResult

from ...runtime.conversation.messages import Usage
from ...runtime.frameworks.crossing import Asked, Offered, Seen

__all__ = ["as_chunk", "asked_of", "see"]

_FORMS = (
    "response_format",
    "format",
    "response_schema",
    "response_json_schema",
    "ls_structured_output_format",
)
"""Arguments by which providers are told the form of the answer."""

_CONFIGURED = ("tools", "functions", *_FORMS)


def _model_name(model: BaseChatModel, told: Mapping[str, Any]) -> str:
    """`provider:name`."""
    provider = told.get("ls_provider") or model._llm_type  # pyright: ignore[reportPrivateUsage]
    name = told.get("ls_model_name")
    return f"{provider}:{name}" if name else str(provider)


def asked_of(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    stop: Any,
    arguments: Mapping[str, Any],
    *,
    first: bool,
) -> Asked:
    """What is asked: no ids, times or usage. `first`: in this conversation, where messages are looked at.

    Its `uncovered` names the tools that the provider runs by itself, so that no call of them is ever seen here.
    """
    offered = list(_offered(arguments))
    told: Mapping[str, Any] = model._get_ls_params()  # pyright: ignore[reportPrivateUsage]  # as its tracers are told
    kept = {k: v for k, v in told.items() if k in ("ls_temperature", "ls_max_tokens", "ls_stop")}
    settings = {**kept, **{k: v for k, v in arguments.items() if k not in _CONFIGURED}, "stop": stop}
    output = {k: arguments[k] for k in _FORMS if arguments.get(k) is not None}
    return Asked(
        model=_model_name(model, told),
        messages=_new(messages) if first else None,
        instructions=[_plain(m.content) for m in messages if m.type == "system"] if first else None,
        settings=_plain({k: v for k, v in settings.items() if v is not None}),
        tools=[tool for tool, _ in offered],
        output=_plain(output) if output else None,
        prompt_tokens=lambda: _tokens(messages, [tool for tool, _ in offered]),
        uncovered=[tool.name for tool, elsewhere in offered if elsewhere],
    )


def _tokens(messages: Sequence[BaseMessage], tools: Sequence[Offered]) -> int:
    """About how many tokens the prompt has."""
    forms = pydantic_core.to_json([(t.name, t.description, t.schema) for t in tools])
    return count_tokens_approximately(messages) + len(forms) // 4


def see(result: ChatResult) -> Seen:
    """What is to be seen of an answer."""
    message = result.generations[0].message if result.generations else None
    if not isinstance(message, AIMessage):
        return Seen()
    about: Mapping[str, Any] = message.response_metadata
    finish = about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason")
    return Seen(
        usage=_usage(message),
        model=about.get("model_name") or about.get("model"),
        finish_reason=None if finish is None else str(finish),
        calls=[call["name"] for call in message.tool_calls],
        text=str(message.text),
        reasoning="\n".join(_thoughts(message)) or None,
    )


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the only piece of a stream."""
    calls: list[Any] = [
        {"name": c["name"], "args": pydantic_core.to_json(c["args"]).decode(), "id": c["id"], "index": i}
        for i, c in enumerate(message.tool_calls)
    ]
    kept = {k: getattr(message, k) for k in ("content", "additional_kwargs", "response_metadata", "id")}
    return AIMessageChunk(
        **kept, usage_metadata=message.usage_metadata, tool_call_chunks=calls, chunk_position="last"
    )


def _new(messages: Sequence[BaseMessage]) -> list[Any]:
    """What is said that does not follow from what is recorded: behind the last answer, but for results of tools.

    Each node has a conversation of its own, so that the whole history would be looked at in each turn of a graph.
    """
    said: list[Any] = []
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            break
        if not isinstance(message, ToolMessage):
            said.append(_said(message))
    return said[::-1]


def _said(message: BaseMessage) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.type, "content": _plain(message.content)}
    return told


def _offered(arguments: Mapping[str, Any]) -> Iterator[tuple[Offered, bool]]:
    """The tools of a request, in the forms of the providers, and whether the provider runs them."""
    tools: list[Any] = [*(arguments.get("tools") or ()), *(arguments.get("functions") or ())]
    for tool in tools:
        if not isinstance(tool, Mapping):
            name = getattr(tool, "name", None) or getattr(tool, "__name__", None) or type(tool).__name__
            yield Offered(str(name), getattr(tool, "description", None)), False
            continue
        fields = cast("Mapping[str, Any]", tool)
        declared: Any = fields.get("function_declarations")
        if declared is not None:  # Google's: several in one
            for one in declared:
                named = (
                    cast("Mapping[str, Any]", one) if isinstance(one, Mapping) else {"name": str(one.name)}
                )
                yield _one(named), False
        elif isinstance(fields.get("function"), Mapping):
            yield _one(fields["function"]), False
        elif "toolSpec" in fields:  # Bedrock's
            yield _one(fields["toolSpec"]), False
        elif fields.get("type") in (None, "function", "custom") and "name" in fields:
            yield _one(fields), False
        else:
            kind = fields.get("type") or next(iter(fields), "tool")
            yield Offered(str(fields.get("name") or kind), None, None), True


def _one(fields: Mapping[str, Any]) -> Offered:
    form: Any = fields.get("parameters") or fields.get("input_schema") or fields.get("inputSchema")
    return Offered(str(fields.get("name")), fields.get("description"), _plain(form))


def _plain(value: Any) -> Any:
    """As JSON; a class by its schema or name: what is compared is never read back."""
    if type(value) is str:
        return value
    if isinstance(value, type):
        schema = getattr(value, "model_json_schema", None)
        return schema() if schema is not None else value.__qualname__
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    return pydantic_core.from_json(pydantic_core.to_json(value, fallback=lambda v: type(v).__qualname__))


def _usage(message: AIMessage) -> Usage:
    used = message.usage_metadata
    if used is None:
        return Usage()
    read: Mapping[str, Any] = used.get("input_token_details") or {}
    written: Mapping[str, Any] = used.get("output_token_details") or {}
    return Usage(
        input_tokens=used["input_tokens"],
        output_tokens=used["output_tokens"],
        cached_tokens=read.get("cache_read"),
        cache_write_tokens=read.get("cache_creation"),
        reasoning_tokens=written.get("reasoning"),
    )


def _thoughts(message: AIMessage) -> Iterator[str]:
    said: Any = message.additional_kwargs.get("reasoning_content")
    if isinstance(said, str):
        yield said
    for block in message.content if isinstance(message.content, list) else ():
        if not isinstance(block, dict) or block.get("type") not in ("reasoning", "thinking"):
            continue
        for part in (block, *(block.get("summary") or ())):
            text: Any = part.get("thinking") or part.get("reasoning") or part.get("text")
            if isinstance(text, str):
                yield text
