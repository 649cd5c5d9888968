"""A support desk over three systems: customers, tickets and files, each an MCP server. This is the file to read first.

    ticket ──► model ⇄ tickets__get_ticket, tickets__reply     over HTTP; a reply is known by its key
                     ⇄ tickets__credit                         not repeatable: a lead approves it
                     ⇄ crm__get_customer                       a program that the worker starts
                     ⇄ files__read_text_file                   another one, of npm if you like

There is no plumbing in it: which servers there are stands in `perdure.toml`, what they may do in `policies`, and which
of their tools a model is offered was reviewed by a person.
"""

from __future__ import annotations

from pydantic import BaseModel

from perdure import App, Run

app = App.from_config()

SYSTEM = """\
You are the support desk of Harrow & Pike. Read the ticket, look up the customer and what their contract says, and reply
with what it says. Give a credit only where the contract does. Say that a ticket is not solved where you cannot solve
it; never guess."""


class Answer(BaseModel):
    """What the model says of a ticket when it is done with it."""

    solved: bool
    summary: str


@app.agent("desk")
async def desk(run: Run, ticket: str) -> Answer:
    tools = [tool for server in ("tickets", "crm", "files") for tool in await app.mcp.tools(run, server)]
    return await run.model(
        "openai:gpt-5-mini",
        f"Ticket {ticket} is yours.",
        output=Answer,
        tools=tools,
        system=SYSTEM,
        name="ticket",
    )
