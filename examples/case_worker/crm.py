"""The company's records of customers, as an MCP server over stdio: `python crm.py FOLDER`."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel
from world import book, night

server = MCPServer("crm", log_level="ERROR")

ACCOUNT = "SE4550000000058398257466"


class Customer(BaseModel):
    id: str
    name: str
    since: str
    city: str
    account: str


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def find_customer(name: str) -> Customer:
    """Find a customer by name."""
    book("crm-asked", name=name)
    await night("find_customer")
    return Customer(id="C-17", name=name, since="2019-03-01", city="Lund", account=ACCOUNT)


@server.tool()
async def refund(customer: str, iban: str, cents: int) -> str:
    """Pay money back to a customer's account."""
    book("crm-refunds", customer=customer, iban=iban, cents=cents)
    await night("refund")
    return f"refunded {cents} to {iban}"


if __name__ == "__main__":
    server.run("stdio")
