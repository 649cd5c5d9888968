"""A bank's support agent, and a clinic's that asks specialists: pydantic-ai's own agents, made durable by `run.wrap`.

    perdure --app examples/frameworks/pydantic_ai_bank_support.py:app run support --input '"I lost my card!"'

Below the line "durable" stands all that Perdure needs; above it nothing knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelRetry, RunContext

MODEL = "openai-chat:gpt-5"


@dataclass
class Bank:
    """What would be a service: accounts, and the cards that were blocked."""

    balances: dict[int, int] = field(default_factory=lambda: {123: 12_345})
    blocked: list[int] = field(default_factory=list[int])


BANK = Bank()


@dataclass
class Customer:
    """Whom the agent talks to, and where it looks things up."""

    id: int
    name: str
    bank: Bank


class Advice(BaseModel):
    """What the agent answers."""

    message: str = Field(description="what is said to the customer")
    risk: int = Field(ge=0, le=10, description="how bad it may be")


support_agent = Agent(
    MODEL,
    name="support",
    deps_type=Customer,
    output_type=Advice,
    instructions="You help the customers of a bank, and judge how risky what they ask is.",
    defer_model_check=True,
)


@support_agent.instructions
def who(ctx: RunContext[Customer]) -> str:
    return f"The customer's name is {ctx.deps.name}."


@support_agent.tool
async def balance(ctx: RunContext[Customer], pending: bool) -> str:
    """The customer's balance, with or without what is pending."""
    cents = ctx.deps.bank.balances.get(ctx.deps.id)
    if cents is None:
        raise ModelRetry("there is no such account; ask the customer for its number")
    return f"{(cents - (1_000 if pending else 0)) / 100:.2f}"


@support_agent.tool(requires_approval=True)
async def block_card(ctx: RunContext[Customer], reason: str) -> str:
    """Block the customer's card."""
    ctx.deps.bank.blocked.append(ctx.deps.id)
    return "blocked"


heart = Agent(MODEL, name="heart", instructions="You know hearts.", defer_model_check=True)
lungs = Agent(MODEL, name="lungs", instructions="You know lungs.", defer_model_check=True)
clinic_agent = Agent(
    MODEL, name="clinic", instructions="Ask the specialists, then sum up.", defer_model_check=True
)


@clinic_agent.tool
async def ask_heart(ctx: RunContext[None], question: str) -> str:
    """Ask the cardiologist."""
    return (await heart.run(question, usage=ctx.usage)).output


@clinic_agent.tool
async def ask_lungs(ctx: RunContext[None], question: str) -> str:
    """Ask the pulmonologist."""
    return (await lungs.run(question, usage=ctx.usage)).output


# durable -------------------------------------------------------------------------------------------------------------

from perdure import App, Run  # noqa: E402  # set apart, to show how little it is

app = App()
app.effects.declare("read", "balance")
app.effects.declare("write", "block_card")
app.effects.declare("delegate", "ask_heart", "ask_lungs")


@app.agent("support")
async def support(run: Run, question: str) -> Advice:
    result = await run.wrap(support_agent)(question, deps=Customer(123, "Ada", BANK))
    return result.output


@app.agent("clinic")
async def clinic(run: Run, question: str) -> str:
    return (await run.wrap(clinic_agent)(question)).output
