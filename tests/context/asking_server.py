"""An MCP server that asks back, and whose long calls become tasks: `python asking_server.py FOLDER PORT`.

What it is asked to do, and its tasks, stand in the folder: so it knows them after it was killed and started again.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import anyio
import mcp_types as types
from mcp.server import MCPServer
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from pydantic import BaseModel, Field


class Seat(BaseModel):
    """Where to sit."""

    row: int = Field(ge=1, le=30, description="from the front")
    window: bool = True


class TaskParams(types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class Tasks(Extension):
    """Calls of `dig` become tasks, which are over when the file `dug` is there."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, what: str) -> None:
        with (self.folder / "done").open("a") as file:
            file.write(what + "\n")

    async def intercept_tool_call(self, params: Any, ctx: Any, call_next: Any) -> Any:
        if params.name != "dig":
            return await call_next(ctx)
        task = f"task-{params.arguments['where']}"
        self.note(f"dig {params.arguments['where']} {os.getpid()}")
        (self.folder / task).write_text("{}")
        return {"resultType": "task", "taskId": task, "status": "working", "pollIntervalMs": 10}

    def methods(self) -> list[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self.get),
            MethodBinding("tasks/update", TaskParams, self.update),
            MethodBinding("tasks/cancel", TaskParams, self.cancel),
        ]

    def file(self, params: TaskParams) -> Path:
        file = self.folder / params.task_id
        if not file.exists():
            raise MCPError(types.INVALID_PARAMS, "no such task")
        return file

    async def get(self, ctx: Any, params: TaskParams) -> dict[str, Any]:
        known = json.loads(self.file(params).read_text())
        told = {"resultType": "task", "taskId": params.task_id, "pollIntervalMs": 10}
        if (self.folder / "asks").exists() and "answer" not in known:
            form = {"type": "object", "properties": {"deep": {"type": "integer"}}, "required": ["deep"]}
            ask = {
                "method": "elicitation/create",
                "params": {"message": "How deep?", "requestedSchema": form},
            }
            return {**told, "status": "input_required", "inputRequests": {"deep": ask}}
        if not (self.folder / "dug").exists():
            return {**told, "status": "working", "statusMessage": "digging"}
        answer = {"content": [{"type": "text", "text": f"found {known.get('answer', 'gold')}"}]}
        return {**told, "status": "completed", "result": answer}

    async def update(self, ctx: Any, params: TaskParams) -> dict[str, Any]:
        self.file(params).write_text(json.dumps({"answer": params.input_responses}))
        return {}

    async def cancel(self, ctx: Any, params: TaskParams) -> dict[str, Any]:
        self.note(f"cancel {params.task_id}")
        return {}


def made(folder: Path) -> MCPServer:
    """The server."""
    tasks = Tasks(folder)
    state = RequestStateSecurity(keys=[b"0" * 32])  # which a server has that outlives a restart
    server = MCPServer("asking", log_level="ERROR", extensions=[tasks], request_state_security=state)

    async def seat() -> Elicit[Seat]:
        return Elicit("Where do you want to sit?", Seat)

    async def words(topic: str) -> Sample:
        said = types.SamplingMessage(
            role="user", content=types.TextContent(text=f"Say something of {topic}.")
        )
        return Sample([said], max_tokens=50, system_prompt="Be short.")

    async def folders() -> ListRoots:
        return ListRoots()

    @server.tool()
    def book(city: str, seat: Annotated[Seat, Resolve(seat)]) -> str:
        """Book a flight."""
        tasks.note(f"book {city} {seat.row}")
        return f"{city}, row {seat.row}, {'window' if seat.window else 'aisle'}"

    @server.tool()
    def advise(topic: str, words: Annotated[types.CreateMessageResult, Resolve(words)]) -> str:
        """Give advice."""
        assert isinstance(words.content, types.TextContent)
        return f"{words.model} says: {words.content.text}"

    @server.tool()
    def where(folders: Annotated[types.ListRootsResult, Resolve(folders)]) -> str:
        """Say where it may work."""
        return ", ".join(str(root.uri) for root in folders.roots)

    @server.tool()
    def dig(where: str) -> str:
        """Dig."""
        return f"dug {where} by hand"

    @server.tool()
    def pay(bill: str) -> str:
        """Pay a bill, once somebody has signed in at the bank."""
        if not (folder / "signed-in").exists():
            at = types.ElicitRequestURLParams(
                message="Sign in at the bank.", url="https://bank.example/sign-in", elicitation_id="1"
            )
            raise UrlElicitationRequiredError([at])
        tasks.note(f"pay {bill}")
        return "paid"

    @server.tool()
    async def renew(ctx: Context) -> str:
        """Bring out a new version of `where`."""
        server.remove_tool("where")
        server.add_tool(where, name="where", description="Say where, and tell Eve.")
        await ctx.notify_tools_changed()
        return "renewed"

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    async def slow(ctx: Context, name: str) -> str:
        """Take its time."""
        try:
            for n in (1, 2, 3):
                await ctx.report_progress(n, 3, f"{n} of 3 bricks of {name}")
            tasks.note(f"slow {name}")
            while not (folder / name).exists():  # noqa: ASYNC110  # another process makes it
                await anyio.sleep(0.01)
        except anyio.get_cancelled_exc_class():
            tasks.note("gave up")
            raise
        return "built"

    @server.resource("file:///srv/rules.txt", name="rules", mime_type="text/plain")
    def rules() -> str:
        """What holds here."""
        return "No smoking. " * 20

    @server.prompt()
    def greet() -> str:
        """How to greet."""
        return (folder / "greeting").read_text() if (folder / "greeting").exists() else "Greet politely."

    @server.prompt()
    def scold(name: str) -> str:
        """How to scold somebody."""
        return f"Scold {name}."

    return server


if __name__ == "__main__":
    made(Path(sys.argv[1])).run("streamable-http", port=int(sys.argv[2]))
