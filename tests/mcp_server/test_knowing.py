"""What an MCP client may ask about agents: what one may do, and how far a series of runs is."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp_types import TextContent

from perdure import App, Run
from perdure.access import Role
from tests.mcp_server.clients import served, somebody

POLICY = """
@id("all") permit (principal, action, resource);
@id("never") @reason("nobody is paid") forbid (principal, action == Action::"pay", resource);
"""


async def test_what_an_agent_may_do_is_told_by_the_policies_that_hold(tmp_path: Path) -> None:
    pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
    (tmp_path / "base.cedar").write_text(POLICY)
    app = App("memory://", policies=tmp_path)

    @app.tool(effect="write")
    def pay(cents: int) -> str:
        return "paid"

    @app.tool(effect="read")
    def balance() -> int:
        return 7

    @app.agent("desk")
    async def desk(run: Run) -> None: ...

    async with app, served(app, somebody(Role.VIEWER)) as client:
        told = (await client.call_tool("what_may_agent_do", {"agent": "desk"})).structured_content
        unknown = await client.call_tool("what_may_agent_do", {"agent": "nobody"})

    tools = {one["tool"]: one for one in told["tools"]}
    assert told["policies"] is True
    assert (tools["pay"]["may"], tools["balance"]["may"]) == ("no", "yes")
    assert unknown.is_error


async def test_without_policies_it_says_so() -> None:
    app = App("memory://")

    @app.agent("desk")
    async def desk(run: Run) -> None: ...

    async with app, served(app) as client:
        told = (await client.call_tool("what_may_agent_do", {"agent": "desk"})).structured_content

    assert told == {"agent": "desk", "policies": False, "tools": []}


async def test_how_far_a_series_is_and_what_the_next_run_should_know() -> None:
    app = App("memory://")

    @app.agent("migrate", series="billing", mcp=True)
    async def migrate(run: Run) -> None:
        run.add_items({"invoices": "All of them", "taxes": ""})
        while item := await run.next_item():
            if item.id == "taxes":
                raise ValueError("no taxes")
            run.progress("copied", item=item.id, state="done", evidence={"rows": 7})

    async with app, served(app) as client, served(app, somebody(tenant="globex")) as other:
        await client.call_tool("migrate", {})
        listed = (await client.call_tool("list_series", {})).structured_content
        told = (await client.call_tool("read_progress", {"series": "billing"})).structured_content
        resource = (await client.read_resource("perdure://series/billing")).contents[0]
        named = [one.uri for one in (await client.list_resources()).resources]
        theirs = await other.call_tool("read_progress", {"series": "billing"})
        none = (await other.call_tool("list_series", {})).structured_content

    assert listed == {"series": ["billing"]} and none == {"series": []}
    assert told["items"] == {"done": 1, "half_done": 1}
    assert "invoices" in told["page"] and told["page"] in resource.text  # pyright: ignore[reportAttributeAccessIssue]
    assert "perdure://series/billing" in named
    assert theirs.is_error
    assert isinstance(theirs.content[0], TextContent) and "no run is of the series" in theirs.content[0].text
