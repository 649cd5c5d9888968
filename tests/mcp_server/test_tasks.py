"""Long runs as tasks: the extension `io.modelcontextprotocol/tasks`, asked for by its wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp.client import advertise
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY, Request, Result
from pydantic import ConfigDict

from perdure import App
from perdure.access import Caller, Role
from perdure.core.mcp_serve_settings import McpServeSettings
from perdure.mcp_server.server import mcp_server
from perdure.mcp_server.tasks import EXTENSION
from perdure.views.watching import Watch
from tests.mcp_server.clients import Person, desk, served, somebody


class Whatever(Result):
    model_config = ConfigDict(extra="allow")


async def ask(client: Client, method: str, **params: Any) -> dict[str, Any]:
    request: Any = Request[Any, Any](method=method, params=params)
    found = await client.session.send_request(request, Whatever)
    return {
        name: value
        for name, value in found.model_dump(by_alias=True).items()
        if value is not None or name == "ttlMs"
    }


async def client_with_tasks(app: App, caller: Caller, person: Person | None = None) -> Client:
    server = await mcp_server(app, who=lambda _: caller, watch=Watch(app.store))
    return Client(server, extensions=[advertise(EXTENSION)], elicitation_callback=person)  # pyright: ignore[reportArgumentType]


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    return await ask(client, "tools/call", name=name, arguments=arguments)


async def ended(client: Client, task: str) -> dict[str, Any]:
    while (found := await ask(client, "tasks/get", taskId=task))["status"] == "working":
        await client.call_tool("get_run", {"run": task, "wait_seconds": 5})
    return found


@pytest.fixture
def app() -> App:
    made = desk()
    made.mcp_serve = McpServeSettings(wait=0)  # pyright: ignore[reportArgumentType]
    return made


async def test_a_run_that_takes_longer_is_a_task_under_its_own_id(app: App) -> None:
    async with app, await client_with_tasks(app, somebody()) as client:
        begun = await call(client, "waits")
        working = await ask(client, "tasks/get", taskId=begun["taskId"])
        await app.signal(begun["taskId"], "reply", "hello")
        app.mcp_serve = McpServeSettings()
        over = await ended(client, begun["taskId"])
        quick = await call(client, "double", input=4)

    assert begun["resultType"] == "task" and begun["status"] == "working" and begun["ttlMs"] is None
    assert working["resultType"] == "complete" and working["status"] == "working"
    assert over["status"] == "completed"
    assert over["result"]["structuredContent"]["result"] == "hello"
    assert quick["resultType"] == "complete" and quick["structuredContent"]["result"] == 8


async def test_a_failed_run_is_a_completed_task_with_an_error_and_a_cancelled_one_is_cancelled(
    app: App,
) -> None:
    async with app, await client_with_tasks(app, somebody()) as client:
        failing, waiting = await call(client, "fails"), await call(client, "waits")
        task = failing.get("taskId") or failing["structuredContent"]["run"]
        failed = await ended(client, task)
        acknowledged = await ask(client, "tasks/cancel", taskId=waiting["taskId"])
        cancelled = await ended(client, waiting["taskId"])
        again = await ask(client, "tasks/cancel", taskId=waiting["taskId"])

    assert failed["status"] == "completed" and failed["result"]["isError"] is True
    assert cancelled["status"] == "cancelled" and "result" not in cancelled
    for one in (acknowledged, again):
        assert "taskId" not in one and one["resultType"] == "complete"


async def test_a_task_asks_its_callers_person_and_takes_their_answer_only(app: App) -> None:
    async with app, await client_with_tasks(app, somebody(), Person()) as client:
        begun = await call(client, "asks")
        asked = await ended(client, begun["taskId"])
        (key,) = asked["inputRequests"]
        answer = {"action": "accept", "content": {"value": "left"}}
        await ask(client, "tasks/update", taskId=begun["taskId"], inputResponses={"other": answer})
        still = await ask(client, "tasks/get", taskId=begun["taskId"])
        await ask(client, "tasks/update", taskId=begun["taskId"], inputResponses={key: answer})
        ending = await (await app.handle(begun["taskId"])).ending()

    assert asked["status"] == still["status"] == "input_required"
    assert asked["inputRequests"][key]["method"] == "elicitation/create"
    assert "Which one?" in asked["inputRequests"][key]["params"]["message"]
    assert ending.value == "the left one"


async def test_tasks_are_for_those_who_declare_them_and_may_use_them(app: App) -> None:
    async with (
        app,
        await client_with_tasks(app, somebody()) as mine,
        await client_with_tasks(app, somebody(Role.VIEWER)) as viewer,
        await client_with_tasks(app, somebody(tenant="globex")) as other,
        served(app) as plain,
    ):
        task = (await call(mine, "waits"))["taskId"]

        with pytest.raises(MCPError) as undeclared:
            await ask(plain, "tasks/get", taskId=task)
        for client, words in ((viewer, "role `operator`"), (other, "no task"), (mine, "no task")):
            with pytest.raises(MCPError, match=words):
                await ask(client, "tasks/get", taskId="unknown" if client is mine else task)

    assert undeclared.value.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY


async def test_a_task_is_known_to_any_server_of_the_store_and_outlives_the_one_that_began_it(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    first, second = desk(url), desk(url)
    first.mcp_serve = McpServeSettings(wait=0)  # pyright: ignore[reportArgumentType]
    await first.open()
    async with await client_with_tasks(first, somebody()) as client:
        task = (await call(client, "waits"))["taskId"]
    await first.close()
    async with second, await client_with_tasks(second, somebody()) as client:
        assert (await ask(client, "tasks/get", taskId=task))["status"] == "working"
        await second.signal(task, "reply", "hello")
        over = await ended(client, task)

    assert over["result"]["structuredContent"]["result"] == "hello"
