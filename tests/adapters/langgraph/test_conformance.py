"""`create_agent` passes the suite of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import create_model

from perdure import Run
from perdure.testing.conformance.adapters import AdapterConformance, Part


class TestCreateAgent(AdapterConformance):
    tool_errors = "raised"

    def agent(self, part: Part) -> Any:
        tools: list[Any] = [tool(function) for function in part.tools]
        for name, helper in part.helpers.items():
            tools.append(delegate(name, self.agent(helper)))
        asked = {name: True for name in part.needs_approval}
        form = (
            None if part.output is None else ToolStrategy(create_model("final_answer", __base__=part.output))
        )
        return create_agent(
            ChatOpenAI(
                model="gpt-5",
                base_url=part.server.openai_url,
                api_key="scripted",
                max_retries=0,
                stream_usage=True,
            ),
            tools,
            system_prompt=part.instructions,
            name=part.name,
            middleware=[HumanInTheLoopMiddleware(interrupt_on=asked)] if asked else [],
            response_format=form,
        )

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        state = await run.wrap(agent)({"messages": [{"role": "user", "content": prompt}]})
        return state.get("structured_response") or str(state["messages"][-1].content)

    async def stream(self, run: Run, agent: Any, prompt: str) -> AsyncIterator[str]:
        given = {"messages": [{"role": "user", "content": prompt}]}
        async for message, _ in run.wrap(agent).astream(given, stream_mode="messages"):
            if message.type in ("ai", "AIMessageChunk") and isinstance(message.content, str):
                yield message.content


def delegate(name: str, inner: Any) -> Any:
    @tool(name)
    async def expert(task: str) -> str:
        """Ask the expert."""
        state = await inner.ainvoke({"messages": [{"role": "user", "content": task}]})
        return str(state["messages"][-1].content)

    return expert
