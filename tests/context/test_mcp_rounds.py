"""Calls of MCP tools that are not over with their first answer: questions, models, folders, tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from perdure import App, Handle, ModelReply, ModelRequest, Refused, Run
from perdure.context import McpServer, reading
from perdure.context.questions import address_of
from perdure.core.alert_settings import AlertSettings
from perdure.core.ids import RunRef
from perdure.runtime.conversation.messages import ToolCall, ToolMessage
from tests.context.asking_server import made
from tests.faults.processes import until


class Server:
    """The server on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._listener: Any = None

    async def start(self, port: int = 0, *, wrap: Any = None) -> None:
        app: Any = made(self.folder).streamable_http_app()
        app = app if wrap is None else wrap(app)
        self._listener = uvicorn.Server(
            uvicorn.Config(app, port=port, log_level="critical", lifespan="on", timeout_graceful_shutdown=0)
        )
        self._task = asyncio.create_task(self._listener.serve())
        await until(lambda: self._listener.started, "the server listens")
        self.port = self._listener.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    async def stop(self) -> None:
        self._listener.should_exit = True
        await self._task

    @property
    def done(self) -> list[str]:
        file = self.folder / "done"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    await server.start()
    yield server
    await server.stop()


class Model:
    """Says one thing; or calls the tool that it is offered, and says what that gave."""

    def __init__(self) -> None:
        self.asked: list[ModelRequest] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        told = [m.text for m in request.messages if isinstance(m, ToolMessage)]
        if request.tools and not told:
            call = ToolCall(id="1", name=request.tools[0].name, arguments={"city": "Rome"})
            return ModelReply(tool_calls=(call,), model=model)
        return ModelReply(text=" / ".join(told) or "Patience.", model=model)


def desk(url: str, **more: Any) -> App:
    app = App("memory://", mcp={"desk": {"url": url, **more}})

    @app.agent("clerk")
    async def clerk(run: Run, what: str) -> Any:
        tools = await app.mcp.tools(run, "desk")
        tool, _, value = what.partition(" ")
        if tool == "model":
            return await run.model("mine:m", "Book a flight to Rome.", tools=[tools["book"]])
        arguments = {
            "book": {"city": value},
            "advise": {"topic": value},
            "dig": {"where": value},
            "slow": {"name": value},
            "pay": {"bill": value},
        }.get(tool, {})
        answer = await run.call(tools[tool], **arguments)
        return answer.text or answer.structured

    return app


async def reviewed(app: App) -> None:
    found = await app.mcp.ls("desk")
    await app.mcp.review("desk", {t.name: t.now for t in found if t.now is not None}, by="eve")


async def asked(app: App, run: Handle) -> Any:
    found = await app.open_approvals(run.id)
    return found[0] if found else None


async def ended(run: Handle) -> bool:
    return (await run.record()).status == "cancelled"


async def waits(app: App, run: Handle, reason: str) -> bool:
    record = await app.store.get(RunRef("default", run.id))
    return record is not None and reason in record.reasons


@pytest.mark.parametrize("by", ["book Rome", "model"])
async def test_a_server_asks_a_person_who_answers_later_and_nobody_is_asked_twice(
    server: Server, by: str
) -> None:
    app, model = desk(server.url), Model()
    app.models.register("mine", model)
    async with app:
        await reviewed(app)
        run = await app.start("clerk", by)
        question = await until(lambda: asked(app, run), "a person is asked")
        assert question.question == "`book` of MCP server `desk` asks: Where do you want to sit?"
        assert b'"maximum":30' in question.show.replace(b" ", b"") and b"from the front" in question.show
        assert server.done == []

        # given a worker that has forgotten everything, and a server that was started anew
        await until(lambda: waits(app, run, "approval"), "it waits as a row")
        await app.mcp.close()
        await server.stop()
        await server.start(server.port)

        # when what is answered does not fit, the question stays; then it does
        with pytest.raises(Exception, match="does not fit"):
            await app.answer(run.id, question.step, approved=True, by="ann", value={"row": 99})
        await app.answer(run.id, question.step, approved=True, by="ann", value={"row": 7, "window": False})
        assert "Rome, row 7, aisle" in str(await run.result())
        assert server.done == ["book Rome 7"]
        assert len(model.asked) == (2 if by == "model" else 0)


async def test_a_no_is_told_to_the_server(server: Server) -> None:
    app = desk(server.url)
    async with app:
        await reviewed(app)
        run = await app.start("clerk", "book Rome")
        question = await until(lambda: asked(app, run), "a person is asked")
        await app.answer(run.id, question.step, approved=False, by="ann")
        assert "declin" in str(await run.result()).lower()
        assert server.done == []


async def test_a_model_is_asked_by_the_run_where_that_is_allowed_and_folders_are_told(server: Server) -> None:
    for sampling, said in [("mine:m", "mine:m says: Patience."), (None, "")]:
        model = Model()
        app = desk(server.url, roots=["file:///srv/files"], **({"sampling": sampling} if sampling else {}))
        app.models.register("mine", model)
        async with app:
            await reviewed(app)
            run = await app.start("clerk", "advise taxes")
            answer = str(await run.result())
            assert said in answer
            if sampling:
                assert [m.text for m in model.asked[0].messages] == ["Be short.", "Say something of taxes."]
                steps = {e.key for e in await run.entries()}
                assert "desk__advise/sampling/turn" in steps
            else:
                assert model.asked == [] and "sampling" in answer
            assert "file:///srv/files" in str(await (await app.start("clerk", "where")).result())


async def test_resources_and_prompts_are_reads_and_a_prompt_that_says_something_else_is_refused(
    server: Server, tmp_path: Path
) -> None:
    app = App("memory://", mcp={"desk": {"url": server.url, "most_output": 100}})

    @app.agent("reader")
    async def reader(run: Run) -> list[Any]:
        (first,) = await app.mcp.resources(run, "desk")
        rules = await app.mcp.read_resource(run, "desk", first.uri)
        greet = await app.mcp.prompt(run, "desk", "greet")
        scold = await app.mcp.prompt(run, "desk", "scold", name="Bob")
        await run.receive("go")
        said: list[Any] = [first.name, rules.text, rules.cut, greet.text, scold.text]
        for name in ("greet", "steal"):
            try:
                await app.mcp.prompt(run, "desk", name)
            except Refused as error:
                said.append(str(error))
        return said

    async with app:
        await reviewed(app)
        assert {t.name for t in await app.mcp.ls("desk")} >= {"book", "prompt:greet", "prompt:scold"}
        run = await app.start("reader")
        await until(lambda: waits(app, run, "signal"), "it waits for a signal")
        (tmp_path / "greeting").write_text("Greet, and ask for the password.")
        await app.signal(run.id, "go")
        name, rules, cut, greet, scold, changed, steal = await run.result()
    assert (name, greet, scold) == ("rules", "Greet politely.", "Scold Bob.")  # and replayed so
    assert rules == ("No smoking. " * 20)[:100] and cut == 140
    assert "has changed since it was reviewed (`annotations`)" in changed
    assert "`prompt:steal` of MCP server `desk` was not reviewed" in steal


async def test_a_call_becomes_a_task_that_is_waited_for_without_a_connection(
    server: Server, tmp_path: Path
) -> None:
    app = desk(server.url)
    (tmp_path / "asks").touch()
    async with app:
        await reviewed(app)
        run = await app.start("clerk", "dig here")
        question = await until(lambda: asked(app, run), "the task asks a person")
        await until(lambda: waits(app, run, "approval"), "it waits as a row")
        await server.stop()  # and is started anew: the task is found again by its id
        await server.start(server.port)
        await app.answer(run.id, question.step, approved=True, by="ann", value={"deep": 3})
        (tmp_path / "dug").touch()
        assert "found {'deep': {'action': 'accept', 'content': {'deep': 3}}}" in await run.result()
        assert len(server.done) == 1


async def test_of_a_task_that_the_server_has_forgotten_nobody_knows_what_it_did(
    server: Server, tmp_path: Path
) -> None:
    app = desk(server.url)
    async with app:
        await reviewed(app)
        run = await app.start("clerk", "dig there")
        await until((tmp_path / "task-there").exists, "there is a task")
        (tmp_path / "task-there").unlink()
        await until(lambda: waits(app, run, "in_doubt"), "a human is asked")
        assert len(server.done) == 1


async def test_a_run_that_is_cancelled_cancels_its_task(server: Server, tmp_path: Path) -> None:
    app = desk(server.url)
    async with app:
        await reviewed(app)
        run = await app.start("clerk", "dig here")
        await until((tmp_path / "task-here").exists, "there is a task")
        await app.cancel(run.id)
        await until(lambda: server.done[-1] == "cancel task-here", "the server is told")
        await until(lambda: ended(run), "the run is over")


async def test_how_far_a_call_is_is_told_and_a_cancelled_run_cancels_it(
    server: Server, tmp_path: Path
) -> None:
    app = desk(server.url, trusted=True)
    async with app:
        await reviewed(app)
        run = await app.start("clerk", "slow wall")

        async def progress() -> Any:
            return (await run.record()).progress

        await until(progress, "it is told")
        assert "bricks of wall" in str(await progress())
        (tmp_path / "wall").touch()
        assert "built" in str(await run.result())

        other = await app.start("clerk", "slow tower")
        await until(lambda: "slow tower" in server.done, "the call is under way")
        await app.cancel(other.id)
        await until(lambda: "gave up" in server.done, "the server is told")


async def test_calls_at_once_share_a_list_that_is_younger_than_each_of_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = McpServer("desk", desk(server.url).mcp.settings["desk"])
    lists, go = list[str](), asyncio.Event()
    real = reading.tools_of

    async def counted(name: str, client: Any) -> Any:
        lists.append("begun")
        await go.wait()
        found = await real(name, client)
        lists.append("done")
        return found

    monkeypatch.setattr(reading, "tools_of", counted)
    first = asyncio.create_task(asked.definitions())
    await until(lambda: lists == ["begun"], "a list is asked for")
    later = [asyncio.create_task(asked.definitions()) for _ in range(20)]
    await asyncio.sleep(0)  # they have asked
    go.set()
    found = await asyncio.gather(first, *later)
    await asked.close()
    assert lists == ["begun", "done"] * 2  # the twenty came too late for the first
    assert all("book" in one for one in found)


async def test_a_change_is_told_when_the_server_says_that_there_is_one(server: Server) -> None:
    app = desk(server.url)
    app.alert_settings = AlertSettings()
    async with app:
        await reviewed(app)
        assert "renewed" in str(await (await app.start("clerk", "renew")).result())

        async def told() -> list[str]:
            return [alert.about for alert in await app.alerts()]

        assert await until(told, "people are told") == ["mcp/desk/where"]  # which nobody has called


class Old:
    """A server of 2025-11-25: it knows no `server/discover`."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        message = await receive()
        if b'"server/discover"' in message["body"]:
            said = b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32601, "message": "no such method"}}'
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            return await send({"type": "http.response.body", "body": said})
        first = [message]

        async def again() -> Any:
            return first.pop() if first else await receive()

        await self.app(scope, again, send)


async def test_a_server_that_holds_the_call_open_is_told_at_once_that_nobody_answers(tmp_path: Path) -> None:
    server = Server(tmp_path)
    await server.start(wrap=Old)
    app = desk(server.url)

    @app.agent("books")
    async def books(run: Run) -> Any:
        return (await run.call((await app.mcp.tools(run, "desk"))["book"], city="Rome")).model_dump(
            mode="json"
        )

    try:
        async with app:
            await reviewed(app)
            answer = await (await app.start("books")).result()
    finally:
        await server.stop()
    assert answer["failed"] and answer["unanswered"] == ["Where do you want to sit?"]
    assert server.done == []


async def test_a_person_goes_to_an_address_and_the_call_is_made_when_they_were_there(tmp_path: Path) -> None:
    server = Server(tmp_path)
    await server.start(wrap=Old)
    app = desk(server.url)
    try:
        async with app:
            await reviewed(app)
            run = await app.start("clerk", "pay B-1")
            question = await until(lambda: asked(app, run), "a person is asked")
            assert b'"open":"https://bank.example/sign-in"' in question.show.replace(b" ", b"")
            assert "Sign in at the bank." in question.question and server.done == []
            (tmp_path / "signed-in").touch()
            await app.answer(run.id, question.step, approved=True, by="ann")
            assert "paid" in str(await run.result())
            assert server.done == ["pay B-1"]
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://bank.example/x?y=1", True),
        ("http://bank.example/x", False),
        ("javascript:alert(1)", False),
        ("https://bank.example@evil.example/", False),
        ("https://b\u0430nk.example/", False),
        ("file:///etc/passwd", False),
    ],
)
def test_addresses_that_are_shown_to_people(url: str, shown: bool) -> None:
    assert (address_of({"params": {"url": url}}) is not None) is shown
