"""Tickets, an MCP server over HTTP: `python tickets.py FOLDER`. It says where it listens as one line of JSON.

A reply is known by the key of the effect, which Perdure sends along, and is written once. A credit has no key.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import anyio
import uvicorn
from books import Books
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

FOLDER = Path(sys.argv[1])
TICKETS = {
    "T-1": {"customer": "C-7", "text": "Is my chair still under warranty?"},
    "T-2": {"customer": "C-8", "text": "You have billed me twice in May. I want a credit."},
    "T-3": {"customer": "C-7", "text": "Is my lamp still under warranty?"},
    "T-4": {"customer": "C-7", "text": "Is my table still under warranty?"},
}
HOLDS = "T-3"
"""Its reply is written, and not answered before the file `go` is there."""

server = MCPServer("tickets", log_level="ERROR")
books = Books(FOLDER / "books.jsonl")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def get_ticket(ticket: str) -> dict[str, str]:
    """Read a ticket."""
    if ticket not in TICKETS:
        raise ToolError(f"there is no ticket {ticket}")
    return {"ticket": ticket, **TICKETS[ticket]}


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def reply(ticket: str, text: str, context: Context) -> str:
    """Write to the customer of a ticket."""
    key = str((context.request_context.meta or {}).get("perdure/effect-key"))
    books.note(what="asked", ticket=ticket, key=key)
    if all(told["key"] != key for told in books.all("reply")):
        books.note(what="reply", ticket=ticket, text=text, key=key)
    while ticket == HOLDS and not (FOLDER / "go").exists():  # noqa: ASYNC110  # another process makes it
        await anyio.sleep(0.05)
    return f"replied to {ticket}"


@server.tool()
def credit(ticket: str, cents: int) -> str:
    """Credit an amount to the customer of a ticket."""
    books.note(what="credit", ticket=ticket, cents=cents)
    return f"credited {cents} cents for {ticket}"


async def main() -> None:
    config = uvicorn.Config(server.streamable_http_app(), port=0, log_level="error", lifespan="on")
    listener = uvicorn.Server(config)
    serving = asyncio.create_task(listener.serve())
    while not listener.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await anyio.sleep(0.01)
    port = listener.servers[0].sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}/mcp"}), flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
