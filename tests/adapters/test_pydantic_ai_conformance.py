"""Agents of pydantic-ai pass the suite of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from perdure import Run
from perdure.testing.conformance.adapters import AdapterConformance, Part


class TestPydanticAI(AdapterConformance):
    tool_errors = "raised"

    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        self.clients: list[AsyncOpenAI] = []

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    def agent(self, part: Part) -> Any:
        client = AsyncOpenAI(base_url=part.server.openai_url, api_key="scripted")
        self.clients.append(client)
        provider = OpenAIProvider(openai_client=client)
        made = Agent(
            OpenAIChatModel("gpt-5", provider=provider),
            name=part.name,
            instructions=part.instructions,
            output_type=part.output or str,
            retries=2,
        )
        for function in part.tools:
            made.tool_plain(requires_approval=function.__name__ in part.needs_approval)(function)
        for name, helper in part.helpers.items():
            inner = self.agent(helper)

            async def delegate(task: str, inner: Any = inner) -> str:
                return (await inner.run(task)).output

            async def expert(task: str) -> str:
                return await delegate(task)

            made.tool_plain(name=name)(expert)
        return made

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        return (await run.wrap(agent)(prompt)).output

    async def stream(self, run: Run, agent: Any, prompt: str) -> AsyncIterator[str]:
        async with run.wrap(agent).stream(prompt) as streamed:
            async for piece in streamed.stream_text(delta=True, debounce_by=None):
                yield piece
