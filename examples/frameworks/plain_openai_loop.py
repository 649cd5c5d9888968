"""A loop written by hand on OpenAI's client: the model asks for tools until it has an answer.

Two lines make it survive: `client = run.wrap(client)`, and `await run.call(tool, ...)` where the tool was called.

    python examples/frameworks/plain_openai_loop.py "What is the weather in Oslo? Book a table if it rains."
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from openai import AsyncOpenAI

from perdure import App, EffectKey, Run

app = App("sqlite:///loop.db")


@app.tool(effect="read")
async def weather(city: str) -> str:
    """The weather in a city."""
    return "rain" if city == "Oslo" else "sun"


@app.tool(effect="idempotent")
async def book_table(people: int, key: EffectKey) -> str:
    """Book a table for tonight."""
    return f"booked for {people}"  # a restaurant's API would be handed the key


TOOLS = {tool.name: tool for tool in (weather, book_table)}


def offered() -> list[Any]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.function.__doc__,
                "parameters": tool.schema(),
            },
        }
        for tool in TOOLS.values()
    ]


@app.agent("loop")
async def loop(run: Run, task: str) -> str:
    async with AsyncOpenAI() as plain:
        client = run.wrap(plain)
        messages: list[Any] = [{"role": "user", "content": task}]
        for _ in range(10):
            reply = await client.chat.completions.create(model="gpt-5", messages=messages, tools=offered())
            said = reply.choices[0].message
            messages.append(said.model_dump(exclude_none=True))
            if not said.tool_calls:
                return said.content or ""
            for call in said.tool_calls:
                tool = TOOLS[call.function.name]
                result = await run.call(tool, **json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        return "I have no answer after ten turns."


async def main(task: str) -> None:
    async with app:
        print(await (await app.start(loop, task)).result())


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "What is the weather in Oslo? Book a table if it rains."))
