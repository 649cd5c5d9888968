"""A travel desk in Strands: flights that are looked up at once, an expert as a tool, a booking that a human approves.

The agents know nothing of Perdure. What makes them survive stands in the last section: an app, what the tools do to the
world, and `run.wrap`.

    OPENAI_API_KEY=... perdure run examples/frameworks/strands_travel_desk.py:app travel '"to Oslo, by the night train"'
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, Field
from strands import Agent, ToolContext, tool
from strands.models.openai import OpenAIModel

# the agents, as they were before -------------------------------------------------------------------------------------

BOOKED: list[str] = []
"""What would be the airline: what was booked."""


class Plan(BaseModel):
    """What the customer gets in writing."""

    summary: str
    cost: int = Field(ge=0, description="in euros")


@tool
async def find_trips(to: str) -> list[dict[str, Any]]:
    """Look up trips to a city, with their prices in euros."""
    code = to[:3].upper()
    return [{"id": f"{code}-1", "by": "train", "price": 120}, {"id": f"{code}-2", "by": "air", "price": 90}]


@tool
async def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


@tool(context=True)
async def book(trip: str, price: int, tool_context: ToolContext) -> str:
    """Book a trip."""
    BOOKED.append(trip)
    tool_context.agent.state.set("spent", (tool_context.agent.state.get("spent") or 0) + price)
    return f"{trip} is booked"


model = OpenAIModel(model_id="gpt-5")
visas = Agent(
    name="visas",
    description="Knows which papers a traveller needs.",
    model=model,
    system_prompt="Say in one sentence which papers are needed.",
    callback_handler=None,
)
desk = Agent(
    name="desk",
    model=model,
    system_prompt="Plan journeys. Ask `visas` for the papers, look at the weather, and book what is wanted.",
    tools=[find_trips, weather, book, visas.as_tool()],
    callback_handler=None,
)


# what makes them survive ---------------------------------------------------------------------------------------------

from perdure import App, Run  # noqa: E402  # set apart, to show how little it is

app = App(os.environ.get("PERDURE_STORE", "memory://"))
app.effects.declare("read", "find_trips", "weather")
app.effects.declare("write", "book", needs_approval=lambda trip, price: price > 100)


@app.agent("travel")
async def travel(run: Run, wish: str) -> dict[str, Any]:
    talk = run.wrap(desk)
    said = str(await talk(wish)).strip()
    plan = (await talk("Write it down for the customer.", structured_output_model=Plan)).structured_output
    return {"said": said, "plan": plan.model_dump()}
