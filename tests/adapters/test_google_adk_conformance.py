"""Agents of Google's ADK pass the suite of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

pytest.importorskip("google.adk", reason='the ADK is not installed: pip install "perdure[google-adk]"')

from google.adk.agents import LlmAgent
from google.adk.models import Gemini
from google.adk.tools import AgentTool, FunctionTool
from google.genai import Client
from google.genai.types import HttpOptions
from pydantic import BaseModel

from perdure import Run
from perdure.testing.conformance.adapters import AdapterConformance, Part


class Task(BaseModel):
    task: str


@pytest.mark.soak  # `make test` has that of pydantic-ai and of LangGraph, and real kills under all five
class TestGoogleADK(AdapterConformance):
    tool_errors = "raised"
    cannot: ClassVar = {
        "test_an_answer_that_does_not_fit_is_asked_for_again": "the ADK raises what pydantic says of it at once",
    }

    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        self.clients: list[Client] = []

    async def close(self) -> None:
        for client in self.clients:
            await client.aio.aclose()
            client.close()

    def agent(self, part: Part, **more: Any) -> Any:
        tools: list[Any] = [
            FunctionTool(function, require_confirmation=function.__name__ in part.needs_approval)
            for function in part.tools
        ]
        for name, helper in part.helpers.items():
            # with plugins, if only an empty list, the ADK warns of an argument of its own
            tools.append(AgentTool(self._expert(name, helper), include_plugins=False))
        return LlmAgent(
            name=part.name,
            model=self._model(part),
            instruction=part.instructions,
            tools=tools,
            output_schema=part.output,
            **more,
        )

    def _expert(self, name: str, helper: Part) -> Any:
        made = self.agent(helper, input_schema=Task)
        made.name = name
        return made

    def _model(self, part: Part) -> Any:
        options = HttpOptions(base_url=part.server.gemini_url)
        client = Client(api_key="scripted", http_options=options)
        self.clients.append(client)
        return Gemini(model="gemini-2.5-flash", client=client)

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        return (await run.wrap(agent)(prompt)).text

    async def stream(self, run: Run, agent: Any, prompt: str) -> AsyncIterator[str]:
        async with run.wrap(agent).pieces(prompt) as pieces:
            async for piece in pieces:
                yield piece.text
