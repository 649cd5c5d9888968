"""Agents of Strands pass the suite of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

pytest.importorskip("strands", reason='Strands is not installed: pip install "perdure[strands]"')

from strands import Agent, tool
from strands.models.openai import OpenAIModel

from perdure import App, Run
from perdure.testing.conformance.adapters import AdapterConformance, Part, World


@pytest.mark.soak  # `make test` has that of pydantic-ai and of LangGraph, and real kills under all five
class TestStrands(AdapterConformance):
    cannot: ClassVar = {}

    def agent(self, part: Part) -> Any:
        if part.needs_approval:
            pytest.skip(
                "Strands asks by interrupts, which the adapter refuses: approvals are those of the table"
            )
        model = OpenAIModel(
            client_args={"base_url": part.server.openai_url, "api_key": "scripted"}, model_id="gpt-5"
        )
        tools: list[Any] = [tool(function) for function in part.tools]
        for name, helper in part.helpers.items():
            tools.append(expert(name, self.agent(helper)))
        return Agent(
            name=part.name,
            model=model,
            system_prompt=part.instructions,
            tools=tools,
            structured_output_model=part.output,
            callback_handler=None,
        )

    @pytest.mark.soak
    async def test_agents_inside_tools_stand_below_them(self, app: App, world: World) -> None:
        await super().test_agents_inside_tools_stand_below_them(app, world)

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        result = await run.wrap(agent)(prompt)
        return result.structured_output or str(result).strip()

    async def stream(self, run: Run, agent: Any, prompt: str) -> AsyncIterator[str]:
        async with run.wrap(agent).pieces(prompt) as pieces:
            async for piece in pieces:
                yield piece.text


def expert(name: str, inner: Any) -> Any:
    @tool(name=name)
    async def delegate(task: str) -> str:
        """Ask the expert."""
        return str(await inner.invoke_async(task)).strip()

    return delegate
