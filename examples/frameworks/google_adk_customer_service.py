"""A garden shop's desk in Google's ADK: a cart in the session's state, a botanist as a tool, a colleague who plants.

The agents know nothing of Perdure. What makes them survive stands in the last section: an app, what the tools do to the
world, and `run.wrap`.

    GOOGLE_API_KEY=... perdure run examples/frameworks/google_adk_customer_service.py:app garden '"a fern, please"'
"""

from __future__ import annotations

import os
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.tools import AgentTool, FunctionTool, ToolContext

# the agents, as they were before -------------------------------------------------------------------------------------

MODEL = "gemini-2.5-flash"

STOCK = {"fern": 9, "rose": 14, "soil": 6}
"""What would be a shop's database: prices."""
PLANTED: list[str] = []
"""What would be the gardeners' calendar."""
DISCOUNTS: list[int] = []
"""What would be the till."""


def find_plants(wish: str) -> dict[str, int]:
    """Look for plants and what goes with them, with their prices."""
    return {name: price for name, price in STOCK.items() if name in wish.lower()} or dict(STOCK)


def put_into_cart(plant: str, count: int, tool_context: ToolContext) -> dict[str, Any]:
    """Say how many of a plant are to be in the cart; 0 takes it out."""
    if plant not in STOCK:
        return {"error": f"there is no {plant}; there are {', '.join(STOCK)}"}
    cart = {**tool_context.state.get("cart", {}), plant: count}
    tool_context.state["cart"] = {name: n for name, n in cart.items() if n}
    return {"cart": tool_context.state["cart"]}


def grant_discount(percent: int, tool_context: ToolContext) -> str:
    """Grant a discount on the whole cart."""
    DISCOUNTS.append(percent)
    tool_context.state["discount"] = percent
    return f"{percent} percent are taken off"


def is_much(percent: int, **_: Any) -> bool:
    """Whether somebody has to agree to a discount."""
    return percent > 10


def plan_planting(day: str, tool_context: ToolContext) -> str:
    """Send a gardener who plants what is in the cart."""
    plants = " and ".join(sorted(tool_context.state.get("cart", {}))) or "nothing"
    PLANTED.append(f"{day}: {plants}")
    return f"a gardener comes on {day} and plants {plants}"


botanist = LlmAgent(
    name="botanist",
    model=MODEL,
    description="Knows what plants need.",
    instruction="Say in one sentence what the plant needs.",
)
planting = LlmAgent(
    name="planting",
    model=MODEL,
    description="Arranges that a gardener plants what was bought.",
    instruction="Agree on a day, plan the planting, then say when the gardener comes.",
    tools=[plan_planting],
)
desk = LlmAgent(
    name="desk",
    model=MODEL,
    instruction="Help the customers of a garden shop. Whoever wants something planted goes to `planting`.",
    tools=[
        find_plants,
        put_into_cart,
        FunctionTool(grant_discount, require_confirmation=is_much),
        AgentTool(botanist, include_plugins=False),
    ],
    sub_agents=[planting],
)


# what makes them survive ---------------------------------------------------------------------------------------------

from perdure import App, Run  # noqa: E402  # set apart, to show how little it is

app = App(os.environ.get("PERDURE_STORE", "memory://"))
app.effects.declare("read", "find_plants")
app.effects.declare("idempotent", "put_into_cart")
app.effects.declare("write", "grant_discount", "plan_planting")


@app.agent("garden")
async def garden(run: Run, wish: str) -> dict[str, Any]:
    answer = await run.wrap(desk)(wish)
    return {
        "said": answer.text,
        "cart": answer.state.get("cart", {}),
        "discount": answer.state.get("discount"),
    }
