"""Tools of real MCP servers: reviewed, offered, called across the boundary; refused, lost, killed."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from perdure import App, ConfigError, Handle, ModelReply, ModelRequest, Refused, Retry, Run
from perdure.context import Definition
from perdure.core.ids import RunRef
from perdure.runtime.conversation.messages import ToolCall, ToolMessage
from tests.faults.processes import kinds, until

SERVER = Path(__file__).with_name("desk_server.py")


def settings(folder: Path, *flags: str, **more: Any) -> dict[str, Any]:
    return {"desk": {"command": sys.executable, "args": [str(SERVER), str(folder), *flags], **more}}


def done(folder: Path) -> list[str]:
    file = folder / "done"
    return file.read_text().splitlines() if file.exists() else []


async def reviewed(app: App, *names: str) -> None:
    """Somebody lets these tools pass, or all."""
    found = {t.name: t.now for t in await app.mcp.ls("desk") if t.now is not None}
    await app.mcp.review("desk", {n: d for n, d in found.items() if not names or n in names}, by="ann")


class Model:
    """Calls each tool that it is offered with an order, then answers. Keeps what it was offered."""

    def __init__(self) -> None:
        self.offered: list[dict[str, str | None]] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self.offered.append({t.name: t.description for t in request.tools})
        if len(self.offered) == 1 and request.tools:
            calls = tuple(
                ToolCall(id=f"{n}", name=t.name, arguments=arguments)
                for t in request.tools
                for n, arguments in enumerate([{"order": "A-1"}, {"order": 7}])
            )
            return ModelReply(tool_calls=calls, model=model)
        said = [m.text for m in request.messages if isinstance(m, ToolMessage)]
        return ModelReply(text=" / ".join(said) or "nothing", model=model)


async def test_s20_a_model_is_offered_what_was_reviewed_and_replay_asks_no_server(tmp_path: Path) -> None:
    model, app = Model(), App("memory://", mcp=settings(tmp_path))
    app.models.register("mine", model)

    @app.agent("desk")
    async def desk(run: Run) -> str:
        tools = await app.mcp.tools(run, "desk")
        said: str = await run.model("mine:m", "What of A-1?", tools=[*tools])
        await run.receive("go")
        return said

    async with app:
        # S20: nothing was reviewed, so nothing is offered; the server is not even started
        first = await app.start(desk)
        await until(lambda: model.offered == [{}], "the model was asked")
        assert not any(s.connection.is_open for s in app.mcp._servers._open.values())
        await app.cancel(first.id)
        model.offered.clear()

        # when one tool was reviewed
        await reviewed(app, "lookup")
        run = await app.start(desk)
        await until(lambda: waiting(app, run), "it waits for a signal")
        # and the server is gone for good
        await app.mcp.close()
        app.mcp.settings = settings_of(app, command="/nowhere")
        await app.signal(run.id, "go")
        said = await run.result()

    # then the model was offered that one, as it was reviewed, and arguments that do not fit went nowhere
    assert model.offered == [{"desk__lookup": "Find an order."}] * 2
    assert "order A-1 is paid" in said and "`order`: must be of type string" in said
    assert done(tmp_path) == ["lookup A-1"]


async def stands(app: App, state: str) -> bool:
    return (await app.mcp.standings())["desk"].state == state


async def in_doubt(run: Handle) -> bool:
    record = await run.record()
    return record.status == "waiting" and "in_doubt" in record.reasons


async def waiting(app: App, run: Handle) -> bool:
    record = await app.store.get(RunRef("default", run.id))
    return record is not None and record.reasons == ("signal",)


def settings_of(app: App, **more: Any) -> Any:
    return {name: one.model_copy(update=more) for name, one in app.mcp.settings.items()}


async def test_answers_effects_labels_limits_and_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_TOKEN", "canary-7f3a")
    app = App(
        "memory://", mcp=settings(tmp_path, env={"TOKEN": "env:DESK_TOKEN"}, trusted=True, most_output=150)
    )
    seen: dict[str, Any] = {}

    @app.agent("desk")
    async def desk(run: Run) -> None:
        tools = await app.mcp.tools(run, "desk")
        seen["effects"] = {t.name: (t.effect, sorted(t.terms.labels)) for t in tools}
        seen["lookup"] = await run.call(tools["lookup"], order="A-1")
        seen["long"] = await run.call(tools["long"], letters=1000)
        seen["refund"] = await run.call(tools["refund"], order="B-2")

    async with app:
        await reviewed(app)
        run = await app.start(desk)
        await run.result()
        journal = b"".join([e.payload for e in await run.entries()])

    assert seen["effects"]["desk__lookup"] == ("read", ["trusted"])
    assert seen["effects"]["desk__refund"] == ("write", ["trusted"])
    assert "order A-1 is paid; [TOKEN]" in json.dumps(seen["lookup"].model_dump())
    assert b"canary" not in journal  # the server had it, and said it
    assert seen["long"].cut >= 850 and len(seen["long"].text) <= 150
    # what the server says is an answer: it is not in doubt
    assert seen["refund"].failed and "B-2 was never paid" in seen["refund"].text


async def test_what_a_person_knows_better_of_a_tool_and_which_are_left_out(tmp_path: Path) -> None:
    known = {"refund": {"effect": "idempotent", "timeout": 5, "attempts": 2, "labels": ["money"]}}
    app = App("memory://", mcp=settings(tmp_path, tools=known, only=["re*", "l*"], without=["long"]))

    @app.agent("desk")
    async def desk(run: Run) -> list[Any]:
        tools = await app.mcp.tools(run, "desk")
        return [
            [
                t.name,
                t.effect,
                t.timeout and t.timeout.seconds,
                t.terms.retry and t.terms.retry.attempts,
                *t.terms.labels,
            ]
            for t in tools
        ]

    async with app:
        assert [t.name for t in await app.mcp.ls("desk")] == ["lookup", "refund"]
        await reviewed(app)
        lookup, refund = await (await app.start(desk)).result()
    assert lookup == ["desk__lookup", "write", 60, None, "untrusted"]
    assert refund[:4] == ["desk__refund", "idempotent", 5, 2] and set(refund[4:]) == {"money", "untrusted"}


async def test_s19_a_tool_that_has_changed_is_refused_until_it_is_reviewed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("memory://", mcp=settings(tmp_path), alerts={})

    @app.agent("desk")
    async def desk(run: Run) -> list[str]:
        tools = await app.mcp.tools(run, "desk")
        said: list[str] = []
        for name, arguments in [("lookup", {"order": "A-1"}), ("update", {}), ("lookup", {"order": "A-2"})]:
            try:
                await run.call(tools[name], **arguments)
                said.append("called")
            except Refused as error:
                said.append(str(error))
        return said

    async with app:
        await reviewed(app)
        run = await app.start(desk)
        with caplog.at_level(logging.ERROR, "perdure.mcp"):
            first, second, third = await run.result()
        assert (first, second) == ("called", "called")
        assert "has changed since it was reviewed (`description`)" in third
        assert "is not what ann has reviewed" in caplog.text
        (alert,) = await app.alerts()
        assert (alert.kind, alert.about) == ("tool_changed", "mcp/desk/lookup")
        assert done(tmp_path) == ["lookup A-1"]
        told = kinds(await run.entries())
        assert "failed" in told and "unknown" not in told  # not in doubt: nothing was sent

        changed = [t for t in await app.mcp.ls("desk") if t.state == "changed"]
        assert [(t.name, t.changes) for t in changed] == [("lookup", ["description"])]
        await reviewed(app)
        assert {t.state for t in await app.mcp.ls("desk")} == {"reviewed"}
        again = await app.start(desk)
        assert (await again.result())[0] == "called"


async def test_s21_two_tools_of_one_name_are_an_error(tmp_path: Path) -> None:
    app = App("memory://", mcp=settings(tmp_path, "--shadow"))
    with pytest.raises(ConfigError, match=r"two tools of one name: `re.fund` and `re_fund`"):
        await app.mcp.ls("desk")
    await app.close()

    @app.tool(name="desk__refund")
    async def mine(order: str) -> None: ...

    with pytest.raises(ConfigError, match=r"two tools have the name `desk__refund`"):
        await app.mcp.review("desk", {"refund": Definition(name="refund", arguments={})}, by="ann")


@pytest.mark.parametrize("tool", [pytest.param("hang", marks=pytest.mark.soak), "hang_up"])
async def test_a_server_that_is_killed_in_the_middle_of_a_call(tmp_path: Path, tool: str) -> None:
    app = App("memory://", mcp=settings(tmp_path, trusted=True), retry=Retry(attempts=3))

    @app.agent("desk")
    async def desk(run: Run) -> Any:
        return (await run.call((await app.mcp.tools(run, "desk"))[tool])).model_dump(mode="json")

    async with app:
        await reviewed(app)
        run = await app.start(desk)
        (line,) = await until(lambda: done(tmp_path), "the call has begun")
        (tmp_path / "quick").touch()
        os.kill(int(line.split()[1]), signal.SIGKILL)

        await until(lambda: stands(app, "lost"), "it is told that the server was lost")
        if tool == "hang":  # a read: the server is started again, and asked again
            assert "done" in json.dumps(await run.result())
            assert len(set(done(tmp_path))) == 2  # by two processes
        else:
            await until(lambda: in_doubt(run), "a human is asked")
            await app.mcp.ls("desk")
            await until(lambda: stands(app, "good"), "it is told that it answers again")
            assert kinds(await run.entries(), "desk__hang_up")[:2] == ["intent", "unknown"]
            assert len(done(tmp_path)) == 1  # never repeated in silence


class Proxy:
    """Lets requests through, but answers a tool's call otherwise once the server has carried it out.

    `broken`: with 502. `swells`: with more than anybody wants to read (`long`), or compressed (`zipped`).
    """

    def __init__(self, app: Any) -> None:
        self.app, self.broken, self.swells = app, False, ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not (self.broken or self.swells):
            return await self.app(scope, receive, send)
        message = await receive()
        asked = json.loads(message.get("body") or b"{}")
        calls = asked.get("method") == "tools/call"

        async def again() -> Any:
            nonlocal message
            first, message = message, None
            return first if first is not None else await receive()

        async def nowhere(_: Any) -> None: ...

        await self.app(scope, again, nowhere if calls else send)
        if calls and self.swells:
            told = {"content": [{"type": "text", "text": "a" * 100_000}], "resultType": "complete"}
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}).encode()
            headers = [(b"content-type", b"application/json")]
            if self.swells == "zipped":
                body = gzip.compress(body)
                headers.append((b"content-encoding", b"gzip"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif calls:
            await send({"type": "http.response.start", "status": 502, "headers": []})
            await send({"type": "http.response.body", "body": b"bad gateway"})


@asynccontextmanager
async def over_http() -> AsyncIterator[tuple[str, Proxy, list[int]]]:
    from mcp.server import MCPServer

    server, added = MCPServer("desk", log_level="ERROR"), list[int]()

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add."""
        added.append(a + b)
        return a + b

    proxy = Proxy(server.streamable_http_app())
    listener = uvicorn.Server(
        uvicorn.Config(proxy, port=0, log_level="error", lifespan="on", timeout_graceful_shutdown=0)
    )
    task = asyncio.create_task(listener.serve())
    await until(lambda: listener.started, "the server listens")
    port = listener.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/mcp", proxy, added
    finally:
        listener.should_exit = True
        await task


async def test_a_server_over_http_and_a_proxy_that_loses_its_answer() -> None:
    async with over_http() as (url, proxy, added):
        app = App("memory://", mcp={"desk": {"url": url}})

        @app.agent("desk")
        async def desk(run: Run) -> Any:
            return (await run.call((await app.mcp.tools(run, "desk"))["add"], a=2, b=3)).structured

        async with app:
            await reviewed(app)
            run = await app.start(desk)
            assert await run.result() == {"result": 5}

            proxy.broken = True
            lost = await app.start(desk)
            await until(lambda: in_doubt(lost), "a human is asked")
            assert added == [5, 5]  # it was done, and not once more

            proxy.broken = False
            assert await (await app.start(desk)).result() == {"result": 5}


async def test_a_program_that_is_not_there_fails_as_not_done(tmp_path: Path) -> None:
    app = App("memory://", mcp={"desk": {"command": str(tmp_path / "nothing")}})
    with pytest.raises(Exception, match="MCP server `desk` cannot be started: FileNotFoundError"):
        await app.mcp.ls("desk")
    await app.close()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "say either `command`"),
        ({"command": "x", "url": "https://x.example"}, "say either `command`"),
        ({"command": "x", "env": {"TOKEN": "hunter2"}}, "env:NAME"),
        ({"url": "http://x.example/mcp"}, "must be an `https` address"),
    ],
)
def test_settings_that_cannot_be_used(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        App("memory://", mcp={"desk": table})
    assert "hunter2" not in str(raised.value)
