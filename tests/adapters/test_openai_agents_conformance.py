"""Agents of the OpenAI Agents SDK pass the suite of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import httpx2
import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, RunConfig, Runner, function_tool
from openai import AsyncOpenAI

from perdure import Run
from perdure.testing.conformance.adapters import AdapterConformance, Part


@pytest.mark.soak  # `make test` has that of pydantic-ai and of LangGraph, and real kills under all five
class TestOpenAIAgents(AdapterConformance):
    cannot: ClassVar = {
        "test_an_answer_that_does_not_fit_is_asked_for_again": "the SDK raises `ModelBehaviorError` at once",
    }

    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        self.clients: list[AsyncOpenAI] = []

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    def agent(self, part: Part) -> Any:
        http = httpx2.AsyncClient(verify=False)  # no certificates are read for loopback
        client = AsyncOpenAI(base_url=part.server.openai_url, api_key="scripted", http_client=http)
        self.clients.append(client)
        tools: list[Any] = [
            function_tool(
                function,
                needs_approval=function.__name__ in part.needs_approval,
                failure_error_function=lambda _, error: str(error),
            )
            for function in part.tools
        ]
        for name, helper in part.helpers.items():
            tools.append(expert(name, self.agent(helper)))
        return Agent(
            name=part.name,
            instructions=part.instructions,
            model=OpenAIResponsesModel("gpt-5", client),
            model_settings=ModelSettings(),
            output_type=part.output,
            tools=tools,
        )

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        return (await run.wrap(agent)(prompt, run_config=RunConfig())).final_output

    async def stream(self, run: Run, agent: Any, prompt: str) -> AsyncIterator[str]:
        async with run.wrap(agent).stream(prompt) as result:
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    yield event.data.delta


def expert(name: str, inner: Any) -> Any:
    @function_tool(name_override=name)
    async def delegate(task: str) -> str:
        return (await Runner.run(inner, task)).final_output

    return delegate
