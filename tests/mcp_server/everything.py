"""The server that the conformance suite asks: ours, with the tools, resources and prompts that the suite looks for.

    python -m tests.mcp_server.everything        says on which address it serves

What is ours: the door, sessions, what may be heard again, listing and calling of tools, errors, bounds. What is of this
file alone: that anybody may come in (the suite shows no key), and what the tools answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import BaseModel
from starlette.applications import Starlette

from perdure import App, Run
from perdure.access import Caller, Role
from perdure.access.headers import Headers
from perdure.access.origins import LOOPBACK, Hosts
from perdure.core.errors import InvalidInput
from perdure.core.principal import Principal
from perdure.mcp_server import McpDoor
from perdure.mcp_server.asking import Asking
from perdure.mcp_server.http import caller_of
from perdure.mcp_server.server import mcp_server
from perdure.mcp_server.starting import accepted
from perdure.mcp_server.tasks import created
from perdure.mcp_server.tool import Served
from perdure.server import Application, Life
from perdure.server.serving import Serving
from tests.mcp_server.rounds import ROUNDS, field, form, needed, prompt_with_input

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SOUND = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}

TOOLS: dict[str, Served] = {}


class Anybody:
    """The suite shows no key."""

    async def caller_of(self, request: Any) -> Caller:
        who = Principal(subject="user:suite", issuer="suite", tenant="default")
        return Caller(principal=who, tenant="default", roles=frozenset(Role), via="suite")


def text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=IMAGE, mime_type="image/png")


def resource(uri: str, said: str, mime: str = "text/plain") -> types.EmbeddedResource:
    held = types.TextResourceContents(uri=uri, mime_type=mime, text=said)
    return types.EmbeddedResource(type="resource", resource=held)


def told(*content: types.ContentBlock) -> types.CallToolResult:
    return types.CallToolResult(content=list(content))


def tool(
    function: Callable[[Asking, Mapping[str, Any]], Awaitable[Any]], form: dict[str, Any] | None = None
) -> None:
    name = function.__name__

    async def call(arguments: Mapping[str, Any], asking: Asking) -> Any:
        return await function(asking, arguments)

    listed = types.Tool(name=name, description=f"{name} of the suite", input_schema=form or NOTHING)
    TOOLS[name] = Served(name=name, role=Role.VIEWER, listed=listed, call=call)


async def test_simple_text(asking: Asking, given: Any) -> Any:
    return told(text("This is a simple text response for testing."))


async def test_image_content(asking: Asking, given: Any) -> Any:
    return told(image())


async def test_audio_content(asking: Asking, given: Any) -> Any:
    return told(types.AudioContent(type="audio", data=SOUND, mime_type="audio/wav"))


async def test_embedded_resource(asking: Asking, given: Any) -> Any:
    return told(resource("test://embedded-resource", "This is an embedded resource content."))


async def test_multiple_content_types(asking: Asking, given: Any) -> Any:
    mixed = resource(
        "test://mixed-content-resource", json.dumps({"test": "data", "value": 123}), "application/json"
    )
    return told(text("Multiple content types test:"), image(), mixed)


async def test_tool_with_logging(asking: Asking, given: Any) -> Any:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        note = types.LoggingMessageNotification(
            params=types.LoggingMessageNotificationParams(level="info", data=said)
        )
        await asking.context.session.send_notification(note, asking.context.request_id)
        await asyncio.sleep(0.05)
    return told(text("Tool with logging executed successfully"))


async def test_tool_with_progress(asking: Asking, given: Any) -> Any:
    for done in (0, 50, 100):
        await asking.context.session.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return told(text(str(asking.meta.get("progress_token", 0))))


async def test_error_handling(asking: Asking, given: Any) -> Any:
    raise InvalidInput("This tool intentionally returns an error for testing")


async def test_reconnection(asking: Asking, given: Any) -> Any:
    if asking.context.close_sse_stream is not None:
        await asking.context.close_sse_stream()
    await asyncio.sleep(0.1)
    return told(text("Reconnection test completed successfully."))


async def ask(asking: Asking, request: Any, kind: type[Any]) -> Any:
    related = ServerMessageMetadata(related_request_id=asking.context.request_id)
    return await asking.context.session.send_request(request, kind, metadata=related)


async def test_sampling(asking: Asking, given: Any) -> Any:
    said = types.SamplingMessage(role="user", content=text(given["prompt"]))
    request = types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[said], max_tokens=100)
    )
    answer = await ask(asking, request, types.CreateMessageResult)
    return told(text(f"LLM response: {answer.content.text}"))


async def elicit(asking: Asking, message: str, form: dict[str, Any]) -> types.ElicitResult:
    form = {"type": "object", "required": [], **form}
    request = types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=message, requested_schema=form)
    )
    return await ask(asking, request, types.ElicitResult)


async def test_elicitation(asking: Asking, given: Any) -> Any:
    fields = {"response": {"type": "string", "description": "User's response"}}
    said = await elicit(asking, given["message"], {"properties": fields, "required": ["response"]})
    return told(text(f"User response: action={said.action}, content={json.dumps(said.content or {})}"))


async def test_elicitation_sep1034_defaults(asking: Asking, given: Any) -> Any:
    fields = {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    }
    said = await elicit(asking, "Please review and update the form fields", {"properties": fields})
    return told(
        text(f"Elicitation completed: action={said.action}, content={json.dumps(said.content or {})}")
    )


async def test_elicitation_sep1330_enums(asking: Asking, given: Any) -> Any:
    plain = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    names = ["Option One", "Option Two", "Option Three"]
    fields = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": names},
        "untitledMulti": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {"type": "string", "enum": plain},
        },
        "titledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"anyOf": titled}},
    }
    said = await elicit(asking, "Please select options from the enum fields", {"properties": fields})
    return told(
        text(f"Elicitation completed: action={said.action}, content={json.dumps(said.content or {})}")
    )


async def greet(asking: Asking, given: Any) -> Any:
    return told(text(f"Hello, {given['name']}!"))


async def json_schema_2020_12_tool(asking: Asking, given: Any) -> Any:
    return told(text(f"JSON Schema 2020-12 tool called with: {json.dumps(dict(given))}"))


SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


async def test_custom_header(asking: Asking, given: Any) -> Any:
    return told(text(f"region {given.get('region')}"))


async def test_tool_with_task(asking: Asking, given: Any) -> Any:
    name = field(asking, "user_name", "name")
    if not name:
        return needed(user_name=form("What is your name?", name="string"))
    handle = await accepted(asking, asking.app.find_agent("greets_later"), {"name": name})
    return created(asking, await handle.record())


REGION = {"region": {"type": "string", "x-mcp-header": "Region"}}
NAMED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
tool(greet, NAMED)
tool(test_tool_with_task)
tool(test_custom_header, {"type": "object", "properties": REGION, "required": ["region"]})
for made in (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_tool_with_logging,
    test_tool_with_progress,
    test_error_handling,
    test_reconnection,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
):
    tool(made)
for made in ROUNDS.values():
    tool(made)
tool(test_sampling, {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]})
tool(
    test_elicitation,
    {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
)
tool(json_schema_2020_12_tool, SCHEMA_2020_12)


async def list_resources(context: Any, given: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri="test://static-text", name="static-text", mime_type="text/plain"),
            types.Resource(uri="test://static-binary", name="static-binary", mime_type="image/png"),
            types.Resource(uri="test://watched-resource", name="watched", mime_type="text/plain"),
        ]
    )


async def list_templates(context: Any, given: Any) -> types.ListResourceTemplatesResult:
    held = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return types.ListResourceTemplatesResult(resource_templates=[held])


async def read_resource(context: Any, given: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = given.uri
    if uri == "test://static-binary":
        held: Any = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=IMAGE)
    elif uri.startswith("test://template/"):
        id = uri.split("/")[3]
        said = json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})
        held = types.TextResourceContents(uri=uri, mime_type="application/json", text=said)
    elif uri not in ("test://static-text", "test://watched-resource"):
        raise MCPError(types.INVALID_PARAMS, "there is no such resource", {"uri": uri})
    else:
        said = "This is the content of the static text resource."
        held = types.TextResourceContents(uri=uri, mime_type="text/plain", text=said)
    return types.ReadResourceResult(contents=[held])


async def nothing(context: Any, given: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def complete(context: Any, given: Any) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


async def list_prompts(context: Any, given: Any) -> types.ListPromptsResult:
    def arguments(*names: str) -> list[types.PromptArgument]:
        return [types.PromptArgument(name=name, description=name, required=True) for name in names]

    return types.ListPromptsResult(
        prompts=[
            types.Prompt(name="test_simple_prompt", description="A simple prompt without arguments"),
            types.Prompt(
                name="test_prompt_with_arguments",
                description="With arguments",
                arguments=arguments("arg1", "arg2"),
            ),
            types.Prompt(
                name="test_prompt_with_embedded_resource",
                description="With a resource",
                arguments=arguments("resourceUri"),
            ),
            types.Prompt(name="test_input_required_result_prompt", description="Asks back"),
            types.Prompt(name="test_prompt_with_image", description="With an image"),
        ]
    )


async def get_prompt(context: Any, given: types.GetPromptRequestParams) -> Any:
    if given.name == "test_input_required_result_prompt":
        return await prompt_with_input(given)
    known = given.arguments or {}
    said: Mapping[str, list[types.ContentBlock]] = {
        "test_simple_prompt": [text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": [
            text(f"Prompt with arguments: arg1='{known.get('arg1')}', arg2='{known.get('arg2')}'")
        ],
        "test_prompt_with_embedded_resource": [
            resource(known.get("resourceUri", ""), "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": [image(), text("Please analyze the image above.")],
    }
    messages = [types.PromptMessage(role="user", content=one) for one in said[given.name]]
    return types.GetPromptResult(messages=messages)


class EverythingDoor(McpDoor):
    """Ours, to another server."""

    async def _server(self) -> Server[Any]:
        server = await mcp_server(self._app, who=caller_of, watch=self._watch, more=TOOLS)
        handlers: list[tuple[str, type[Any], Any]] = [
            ("resources/list", types.PaginatedRequestParams, list_resources),
            ("resources/templates/list", types.PaginatedRequestParams, list_templates),
            ("resources/read", types.ReadResourceRequestParams, read_resource),
            ("resources/subscribe", types.SubscribeRequestParams, nothing),
            ("resources/unsubscribe", types.UnsubscribeRequestParams, nothing),
            ("prompts/list", types.PaginatedRequestParams, list_prompts),
            ("prompts/get", types.GetPromptRequestParams, get_prompt),
            ("logging/setLevel", types.SetLevelRequestParams, nothing),
            ("completion/complete", types.CompleteRequestParams, complete),
        ]
        for method, params, handler in handlers:
            server.add_request_handler(method, params, handler)
        return server


class Compute(BaseModel):
    seconds: float
    label: str = ""


class Delete(BaseModel):
    filename: str


class Confirmed(BaseModel):
    confirm: bool


class Named(BaseModel):
    name: str


def agents() -> App:
    """What takes longer: agents as anybody has them."""
    app = App("memory://")

    @app.agent("slow_compute", mcp=True)
    async def slow_compute(run: Run, asked: Compute) -> str:
        await run.sleep(timedelta(seconds=asked.seconds))
        return f"computed {asked.label}"

    @app.agent("greets_later")
    async def greets_later(run: Run, asked: Named) -> str:
        await run.sleep(timedelta(seconds=1))
        return f"hello {asked.name}"

    @app.agent("failing_job", mcp=True)
    async def failing_job(run: Run) -> str:
        await run.sleep(timedelta(seconds=1))
        raise ValueError("this job always fails")

    @app.agent("confirm_delete", mcp=True)
    async def confirm_delete(run: Run, asked: Delete) -> str:
        said = await run.ask(f"Delete {asked.filename}?", answer=Confirmed)
        return f"deleted {asked.filename}" if said.confirm else "left alone"

    @app.agent("multi_input", mcp=True)
    async def multi_input(run: Run) -> str:
        named, said = await run.gather(
            run.ask("Your name?", answer=Named, name="name"),
            run.ask("Sure?", answer=Confirmed, name="sure"),
        )
        return f"{named.name} {said.confirm}"

    return app


def application(door: type[McpDoor], *, worker: bool = False) -> Application:
    """A server to which anybody may come, under the names of this machine."""
    app = agents()
    life = Life(app, worker=worker)
    made = door(app, Anybody(), watch=life.watch)
    life.also(made)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        async with life:
            yield

    return Application(Headers(Hosts(Starlette(routes=made.routes(), lifespan=living), names=LOOPBACK)), life)


async def main() -> None:
    serving = Serving(application(EverythingDoor, worker=True), host="127.0.0.1", port=0)
    address = serving.bind()
    await serving.run(lambda: print(f"{address}/mcp", flush=True))


if __name__ == "__main__":
    asyncio.run(main())
