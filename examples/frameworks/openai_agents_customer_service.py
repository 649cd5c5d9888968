"""An airline's desk in the OpenAI Agents SDK: handoffs, a seat that is changed, a refund that a human approves.

The agents know nothing of Perdure. What makes them survive stands in `main` at the end: an app, what the tools do to
the world, and `run.wrap`.

    python examples/frameworks/openai_agents_customer_service.py "I want seat 12A"
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agents import Agent, RunContextWrapper, function_tool, handoff
from pydantic import BaseModel

from perdure import App, Run

# the agents, as they were before -------------------------------------------------------------------------------------


class Booking(BaseModel):
    """What the desk knows of the caller; tools and handoffs write to it."""

    flight: str | None = None
    confirmation: str | None = None
    seat: str | None = None
    refunded: int = 0


@function_tool
async def faq(question: str) -> str:
    """Look up an answer in the list of common questions."""
    if "bag" in question.lower():
        return "One bag of up to 23 kg is free."
    return "I do not know. Ask the desk."


@function_tool
async def update_seat(context: RunContextWrapper[Booking], confirmation: str, seat: str) -> str:
    """Change the seat of a booking."""
    assert context.context.flight is not None, "the handoff says which flight"
    context.context.confirmation = confirmation
    context.context.seat = seat
    return f"Seat {seat} on flight {context.context.flight} for booking {confirmation}."


@function_tool(needs_approval=True)
async def refund(context: RunContextWrapper[Booking], confirmation: str, amount: int) -> str:
    """Pay money back to the card of a booking."""
    context.context.refunded += amount
    return f"Paid back {amount} for booking {confirmation}."


async def on_seat(context: RunContextWrapper[Booking]) -> None:
    """Find out which flight it is about."""
    context.context.flight = "PD-204"


faq_agent: Agent[Booking] = Agent(
    name="FAQ agent",
    handoff_description="Answers common questions.",
    instructions="Answer by the faq tool. What it does not know goes back to the triage agent.",
    tools=[faq],
)
seat_agent: Agent[Booking] = Agent(
    name="Seat agent",
    handoff_description="Changes seats.",
    instructions="Ask for the confirmation number and the seat, then change it.",
    tools=[update_seat],
)
refund_agent: Agent[Booking] = Agent(
    name="Refund agent",
    handoff_description="Pays money back.",
    instructions="Find out the amount, then pay it back.",
    tools=[refund],
)
triage_agent: Agent[Booking] = Agent(
    name="Triage agent",
    instructions="Hand over to whoever can help.",
    handoffs=[faq_agent, handoff(seat_agent, on_handoff=on_seat), refund_agent],
)
for back in (faq_agent, seat_agent, refund_agent):
    back.handoffs.append(triage_agent)


# what makes them survive ---------------------------------------------------------------------------------------------

app = App("sqlite:///desk.db")
app.effects.declare("read", "faq", "transfer_to_seat_agent")
app.effects.declare("idempotent", "update_seat")
app.effects.declare("write", "refund")


@app.agent("desk")
async def desk(run: Run, task: str) -> dict[str, Any]:
    booking = Booking()
    result = await run.wrap(triage_agent)(task, context=booking)
    return {"said": result.final_output, "by": result.last_agent.name, **booking.model_dump()}


async def main(task: str) -> None:
    async with app:
        run = await app.start(desk, task)
        print(f"run {run.id}; where it waits: perdure approvals ls --store sqlite:///desk.db")
        print(await run.result())


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "I want seat 12A, confirmation ABC123"))
