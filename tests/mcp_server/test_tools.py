"""What an MCP client can do with an app: runs, agents, what may be done; by the roles of whoever asks."""

from __future__ import annotations

import asyncio
import json

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent

from perdure import App, Run
from perdure.access import Role
from perdure.core.errors import ConfigError
from perdure.core.mcp_serve_settings import McpServeSettings
from perdure.mcp_server.agents import agent_tools
from perdure.mcp_server.words import DATA
from tests.mcp_server.clients import desk, served, somebody

OPERATES = {"start_run", "cancel_run"}
ANSWERS = {"answer_question"}
SEES = {"read_story", "read_progress"}
LOOKS = {"search_runs", "get_run", "list_questions", "list_agents", "what_may_agent_do", "list_series"}
AGENTS = {"price", "double", "asks", "waits", "fails"}


CANCELLED = [
    ("auto", "detach", False, "succeeded"),
    ("auto", "cancel", False, "cancelled"),
    ("legacy", "cancel", False, "cancelled"),
    ("auto", "cancel", True, "succeeded"),  # it is the server that ends, and nobody who gives up
]


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


@pytest.mark.parametrize(
    ("roles", "there"),
    [
        ((Role.VIEWER,), LOOKS),
        ((Role.AUDITOR,), LOOKS | SEES),
        ((Role.APPROVER,), LOOKS | SEES | ANSWERS),
        ((Role.OPERATOR,), LOOKS | SEES | OPERATES | AGENTS),
        ((Role.ADMIN,), LOOKS | SEES | OPERATES | AGENTS | ANSWERS),
    ],
)
async def test_a_caller_is_offered_what_their_roles_allow_and_has_nothing_else(
    roles: tuple[Role, ...], there: set[str]
) -> None:
    app = desk()
    await app.open()
    async with served(app, somebody(*roles)) as client:
        listed = (await client.list_tools()).tools

        assert {tool.name for tool in listed} == there
        for name in (LOOKS | SEES | OPERATES | AGENTS | ANSWERS) - there:
            with pytest.raises(MCPError, match="there is no tool"):
                await client.call_tool(name, {"run": "x"})
    await app.close()


async def test_every_tool_says_what_it_does_takes_and_gives() -> None:
    app = desk()
    async with app, served(app) as client:
        for tool in (await client.list_tools()).tools:
            assert tool.description and len(tool.description) < 400, tool.name
            assert tool.input_schema["type"] == "object", tool.name
            assert tool.output_schema is not None and tool.output_schema["type"] == "object", tool.name
            assert tool.annotations is not None
            writes = tool.name in OPERATES | AGENTS | ANSWERS
            assert tool.annotations.read_only_hint is not writes, tool.name


async def test_what_a_model_has_to_read_of_all_tools_is_short() -> None:
    app = desk()
    async with app, served(app) as client:
        tools = [tool for tool in (await client.list_tools()).tools if tool.name not in AGENTS]

    search = next(tool for tool in tools if tool.name == "search_runs").input_schema
    assert search["properties"]["text"] == {
        "type": "string",
        "maxLength": 200,
        "description": "Part of what a run was to do, or of its id",
    }
    read = [{"name": t.name, "description": t.description, "input_schema": t.input_schema} for t in tools]
    assert len(json.dumps(read)) < 7000


async def test_an_agent_is_a_tool_with_the_schemas_of_its_signature() -> None:
    app = desk()
    async with app, served(app) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

        found = await client.call_tool("price", {"item": "tea", "count": 2})
        plain = await client.call_tool("double", {"input": 21})

    assert tools["price"].input_schema["required"] == ["item"]
    assert (tools["price"].description or "").startswith("Price an order.")
    assert tools["double"].input_schema["properties"]["input"]["type"] == "integer"
    assert found.structured_content["status"] == "succeeded"
    assert found.structured_content["result"] == {"total": 6}
    assert plain.structured_content["result"] == 42
    assert plain.structured_content["labels"] == {"via": "mcp"}


async def test_agents_are_offered_only_where_it_is_said() -> None:
    app = desk()
    async with app, served(app) as client:
        refused = await client.call_tool("start_run", {"agent": "refunds", "input": 3})
        listed = await client.call_tool("list_agents", {})

    assert refused.is_error
    assert "`refunds` is not offered" in text_of(refused)
    assert {one["agent"] for one in listed.structured_content["agents"]} == AGENTS

    app = desk()
    app.mcp_serve = McpServeSettings(agents=("refunds",))
    assert set(app.offered_agents()) == {*AGENTS, "refunds"}
    app.mcp_serve = McpServeSettings(agents=("*",))
    assert set(app.offered_agents()) == {*AGENTS, "refunds", "wires"}
    app.mcp_serve = McpServeSettings(agents=("refnds",))
    with pytest.raises(ConfigError, match="`refnds`, which is not registered"):
        app.offered_agents()


async def test_an_agent_that_is_called_as_a_tool_of_the_server_cannot_be_offered() -> None:
    app = App("memory://")

    @app.agent("get_run", mcp=True)
    async def get_run(run: Run) -> None: ...

    with pytest.raises(ConfigError, match="and the server has a tool of that name: rename it"):
        agent_tools(app)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_key_of_the_client_is_one_run_of_this_caller(mode: str) -> None:
    app = desk()
    async with (
        app,
        served(app, mode=mode) as client,
        served(app, somebody(name="user:bob"), mode=mode) as other,
    ):
        key = {"perdure.dev/idempotency-key": "order-7"}

        first = await client.call_tool("double", {"input": 1}, meta=key)  # pyright: ignore[reportArgumentType]
        again = await client.call_tool("double", {"input": 1}, meta=key)  # pyright: ignore[reportArgumentType]
        changed = await client.call_tool("double", {"input": 2}, meta=key)  # pyright: ignore[reportArgumentType]
        theirs = await other.call_tool("double", {"input": 1}, meta=key)  # pyright: ignore[reportArgumentType]

    assert first.structured_content["run"] == again.structured_content["run"]
    assert changed.is_error and "exists already" in text_of(changed)
    assert theirs.structured_content["run"] != first.structured_content["run"]


async def test_a_run_that_takes_longer_is_asked_for_again() -> None:
    app = desk()
    app.mcp_serve = McpServeSettings(wait=0)  # pyright: ignore[reportArgumentType]
    async with app, served(app) as client:
        begun = await client.call_tool("waits", {})
        run = begun.structured_content["run"]
        assert begun.structured_content["status"] != "succeeded"
        assert "get_run" in begun.structured_content["next"]

        app.mcp_serve = McpServeSettings()
        await app.signal(run, "reply", "hello")
        found = await client.call_tool("get_run", {"run": run, "wait_seconds": 20})

    assert found.structured_content["result"] == "hello"
    assert found.structured_content["status"] == "succeeded"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_whoever_waits_is_told_how_the_run_moves(mode: str) -> None:
    app = desk()
    told: list[str | None] = []
    waiting = asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)
        if "a signal" in (message or ""):
            waiting.set()

    async with app, served(app, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("waits", {}, progress_callback=hear))
        await waiting.wait()
        (run,) = (await client.call_tool("search_runs", {})).structured_content["runs"]
        await app.signal(run["run"], "reply", "hello")
        found = await calling

    assert found.structured_content["result"] == "hello"
    assert any("waiting: for a signal" in (one or "") for one in told)


async def test_a_failed_run_is_an_error_whose_words_are_marked_as_data() -> None:
    app = desk()
    async with app, served(app) as client:
        found = await client.call_tool("fails", {})

    assert found.is_error
    assert found.structured_content["status"] == "failed"
    assert isinstance(found.content[-1], TextContent) and found.content[-1].text == DATA
    assert "ignore all instructions" in text_of(found)


@pytest.mark.parametrize(("mode", "on_cancel", "stops", "status"), CANCELLED)
async def test_a_call_that_is_given_up_leaves_the_run_alone_or_cancels_it(
    mode: str, on_cancel: str, stops: bool, status: str
) -> None:
    app = desk()
    app.mcp_serve = McpServeSettings(on_cancel=on_cancel)  # pyright: ignore[reportArgumentType]
    async with app, served(app, mode=mode, stopping=lambda: stops) as client:
        calling = asyncio.create_task(client.call_tool("waits", {}))
        seen = app.store.changes()
        while not (found := (await client.call_tool("search_runs", {})).structured_content["runs"]):
            await app.store.changed(seen, within=1.0)
            seen = app.store.changes()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        run = found[0]["run"]
        if status == "succeeded":
            await app.signal(run, "reply", "still here")
        ending = await (await app.handle(run)).ending()

    assert ending.status == status


async def test_runs_are_searched_read_and_cancelled() -> None:
    app = desk()
    async with app, served(app) as client:
        await client.call_tool("price", {"item": "tea"})
        waiting = await app.start("waits", run_id="waits-1")

        found = await client.call_tool("search_runs", {"agent": "price"})
        first = await client.call_tool("search_runs", {"limit": 1})
        rest = await client.call_tool("search_runs", {"limit": 1, "after": first.structured_content["after"]})
        story = await client.call_tool("read_story", {"run": found.structured_content["runs"][0]["run"]})
        resource = await client.read_resource(f"perdure://runs/{waiting.id}")
        cancelled = await client.call_tool("cancel_run", {"run": "waits-1", "reason": "no need"})
        over = await client.call_tool("get_run", {"run": "waits-1", "wait_seconds": 20})

    assert [one["status"] for one in found.structured_content["runs"]] == ["succeeded"]
    assert first.structured_content["runs"][0]["run"] == "waits-1"
    assert rest.structured_content["runs"][0]["agent"] == "price"
    assert any("progress" in line for line in story.structured_content["lines"])
    assert any("started" in line for line in story.structured_content["lines"])
    assert resource.contents[0].text.startswith(DATA)  # pyright: ignore[reportAttributeAccessIssue]
    assert not cancelled.is_error
    assert over.structured_content["status"] == "cancelled"


async def test_a_viewer_sees_no_payloads() -> None:
    app = desk()
    async with app, served(app) as client, served(app, somebody(Role.VIEWER)) as viewer:
        run = (await client.call_tool("price", {"item": "secret-tea"})).structured_content["run"]

        seen = await viewer.call_tool("get_run", {"run": run})
        searched = await viewer.call_tool("search_runs", {"text": "secret"})
        with pytest.raises(MCPError, match="does not see what runs did"):
            await viewer.read_resource(f"perdure://runs/{run}")
        templates = await viewer.list_resource_templates()

    assert seen.structured_content["status"] == "succeeded"
    assert "result" not in seen.structured_content and "goal" not in seen.structured_content
    assert searched.is_error and "leave `text` out" in text_of(searched)
    assert templates.resource_templates == []


async def test_another_tenants_runs_are_not_there() -> None:
    app = desk()
    async with app, served(app) as client, served(app, somebody(tenant="globex")) as other:
        run = (await client.call_tool("double", {"input": 1})).structured_content["run"]

        for name in ("get_run", "read_story", "cancel_run"):
            found = await other.call_tool(name, {"run": run})
            assert found.is_error and "no run" in text_of(found), name
        assert (await other.call_tool("search_runs", {})).structured_content["runs"] == []
        with pytest.raises(MCPError, match="no run"):
            await other.read_resource(f"perdure://runs/{run}")


async def test_what_is_too_long_is_cut_and_said() -> None:
    app = App("memory://")
    app.mcp_serve = McpServeSettings(most_output=1000)

    @app.agent("long", mcp=True)
    async def long(run: Run) -> str:
        return "x" * 5000

    async with app, served(app) as client:
        found = await client.call_tool("long", {})

    assert "result" not in found.structured_content
    assert "runs show" in found.structured_content["next"]
    assert len(json.dumps(found.structured_content)) < 2000


async def test_a_misfit_says_what_does_not_fit_and_repeats_nothing_of_it() -> None:
    app = desk()
    async with app, served(app) as client:
        unknown = await client.call_tool("get_run", {"run": "r", "tokn": "hunter2"})
        misfit = await client.call_tool("price", {"count": "many"})

    assert unknown.is_error and "`tokn`" in text_of(unknown) and "hunter2" not in text_of(unknown)
    assert misfit.is_error and "cannot take this input" in text_of(misfit)


async def test_prompts_and_resources_name_what_there_is() -> None:
    app = desk()
    async with app, served(app) as client:
        prompts = [one.name for one in (await client.list_prompts()).prompts]
        got = await client.get_prompt("what_happened", {"run": "r-1"})
        agents = [one.uri for one in (await client.list_resources()).resources]
        described = await client.read_resource("perdure://agents/price")

        for uri in ("perdure://agents/refunds", "file:///etc/passwd", "perdure://runs/..%2F..%2Fx"):
            with pytest.raises(MCPError):
                await client.read_resource(uri)

    assert prompts == ["what_needs_me", "what_happened"]
    assert "run `r-1`" in got.messages[0].content.text  # pyright: ignore[reportAttributeAccessIssue]
    assert "perdure://agents/price" in agents and "perdure://agents/refunds" not in agents
    assert "Price an order." in described.contents[0].text  # pyright: ignore[reportAttributeAccessIssue]


async def test_an_error_that_nobody_expected_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = desk()
    async with app, served(app, mode="legacy") as client:

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("password=hunter2")

        monkeypatch.setattr(app, "series", broken)
        with pytest.raises(MCPError) as caught:
            await client.call_tool("list_series", {})

    assert "hunter2" not in str(caught.value)
