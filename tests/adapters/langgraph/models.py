"""A chat model whose answers follow from the conversation alone, so that a replay could ask it again; it counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

Answer = Callable[[list[BaseMessage]], AIMessage]


class Talker(BaseChatModel):
    """Answers by a function of the messages."""

    answer: Any
    asked: list[int] = Field(default_factory=list)
    failures: list[Exception] = Field(default_factory=list)
    """raised first, one a request"""

    @property
    def _llm_type(self) -> str:
        return "talker"

    def _reply(self, messages: list[BaseMessage]) -> AIMessage:
        self.asked.append(len(messages))
        if self.failures:
            raise self.failures.pop(0)
        said: AIMessage = self.answer(messages)
        used = {
            "input_tokens": 10 * len(messages),
            "output_tokens": 7,
            "total_tokens": 10 * len(messages) + 7,
        }
        return said.model_copy(
            update={"usage_metadata": used, "response_metadata": {"finish_reason": "stop"}}
        )

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        for _ in range(random.randrange(3)):
            await asyncio.sleep(0)
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        said = self._reply(messages)
        words = str(said.content).split(" ")
        for i, word in enumerate(words):
            last = i == len(words) - 1
            chunk = AIMessageChunk(
                content=word if last else word + " ",
                tool_call_chunks=[
                    {
                        "name": c["name"],
                        "args": _json(c["args"]),
                        "id": c["id"],
                        "index": n,
                        "type": "tool_call_chunk",
                    }
                    for n, c in enumerate(said.tool_calls)
                ]
                if last
                else [],
                usage_metadata=said.usage_metadata if last else None,
            )
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            await asyncio.sleep(0)
            yield chunk

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        formed = [t if isinstance(t, dict) and "type" in t else convert_to_openai_tool(t) for t in tools]
        return self.bind(tools=formed, **kwargs)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def by_turn(*replies: AIMessage) -> Answer:
    """The first reply in the first turn, and so on, by how often an assistant has spoken."""
    return lambda messages: replies[sum(isinstance(m, AIMessage) for m in messages)]


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    """A reply that calls tools. Its ids are new each time, as some providers make them."""
    return AIMessage(
        content=text,
        tool_calls=[
            {"name": name, "args": args, "id": f"call_{i}_{name}", "type": "tool_call"}
            for i, (name, args) in enumerate(wanted)
        ],
    )


def says(text: str) -> AIMessage:
    return AIMessage(content=text)
