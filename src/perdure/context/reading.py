"""What an MCP server has to read: its tools, its resources, its prompts. Within limits, as values of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

from ..core.errors import ConfigError
from .definition import Definition
from .told import definition_of, text_of

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Prompt

__all__ = [
    "PROMPT",
    "McpContent",
    "McpPrompt",
    "McpResource",
    "McpSaid",
    "content_of",
    "prompt_of",
    "prompts_of",
    "resources_of",
    "tools_of",
]

PROMPT = "prompt:"
"""What the names of prompts begin with, where they stand beside tools."""

_MOST = 1000
_MOST_PAGES = 100
_MOST_CHARACTERS = 5_000_000
"""of all definitions of one kind"""
T = TypeVar("T", bound=BaseModel)


class McpResource(BaseModel):
    """Something that a server has to read, as it says."""

    model_config = ConfigDict(frozen=True)

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    """bytes, where the server knows"""


class McpContent(BaseModel):
    """What stands in a resource: its texts. What is no text is told of, and not shown."""

    model_config = ConfigDict(frozen=True)

    uri: str
    text: str = ""
    mime_type: str | None = None
    cut: int = 0
    """characters that were too many, and are not here"""


class McpSaid(BaseModel):
    """A message of a prompt."""

    model_config = ConfigDict(frozen=True)

    role: str
    text: str


class McpPrompt(BaseModel):
    """What a server would say to a model."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[McpSaid, ...]
    cut: int = 0
    """characters that were too many, and are not here"""

    @property
    def text(self) -> str:
        """All of it, as one text."""
        return "\n\n".join(message.text for message in self.messages)


async def tools_of(server: str, client: Client) -> list[Definition]:
    """All its tools. Raises `ConfigError` where there are too many."""

    async def page(cursor: str | None) -> tuple[list[Definition], str | None]:
        told = await client.list_tools(cursor=cursor, cache_mode="bypass")
        return [definition_of(tool) for tool in told.tools], told.next_cursor

    return await _all(server, "tools", page)


async def resources_of(server: str, client: Client) -> list[McpResource]:
    """All its resources; none of a server that has none to offer. Raises `ConfigError` where there are too many."""
    if client.server_capabilities.resources is None:
        return []

    async def page(cursor: str | None) -> tuple[list[McpResource], str | None]:
        told = await client.list_resources(cursor=cursor, cache_mode="bypass")
        found = [
            McpResource(
                uri=str(r.uri),
                name=r.name,
                title=r.title,
                description=r.description,
                mime_type=r.mime_type,
                size=r.size,
            )
            for r in told.resources
        ]
        return found, told.next_cursor

    return await _all(server, "resources", page)


async def content_of(client: Client, uri: str, *, most: int) -> McpContent:
    """What stands in a resource, up to `most` characters."""
    import mcp_types as types

    told = await client.read_resource(uri, cache_mode="bypass")
    texts = [
        c.text if isinstance(c, types.TextResourceContents) else f"[{c.mime_type or 'bytes'}: not shown]"
        for c in told.contents
    ]
    text = "\n".join(texts)
    kind = told.contents[0].mime_type if told.contents else None
    return McpContent(uri=uri, text=text[:most], mime_type=kind, cut=max(0, len(text) - most))


async def prompts_of(server: str, client: Client, *, most: int) -> list[Definition]:
    """Its prompts, as what is reviewed of them: of one without arguments also what it says.

    Raises `ConfigError` where there are too many.
    """
    if client.server_capabilities.prompts is None:
        return []

    async def page(cursor: str | None) -> tuple[list[Definition], str | None]:
        told = await client.list_prompts(cursor=cursor, cache_mode="bypass")
        return [_prompt(prompt) for prompt in told.prompts], told.next_cursor

    found: list[Definition] = []
    for definition in await _all(server, "prompts", page):
        if not definition.arguments["properties"]:
            said = await prompt_of(client, definition.name.removeprefix(PROMPT), {}, most=most)
            definition = definition.model_copy(update={"annotations": {"says": said.model_dump(mode="json")}})
        found.append(definition)
    return found


async def prompt_of(client: Client, name: str, arguments: Mapping[str, str], *, most: int) -> McpPrompt:
    """What a prompt says, up to `most` characters."""
    told = await client.session.get_prompt(name, dict(arguments))
    messages: list[McpSaid] = []
    room = most
    cut = 0
    for message in told.messages:
        text = text_of(message.content)
        messages.append(McpSaid(role=message.role, text=text[:room]))
        cut += max(0, len(text) - room)
        room = max(0, room - len(text))
    return McpPrompt(messages=tuple(messages), cut=cut)


def _prompt(told: Prompt) -> Definition:
    arguments = told.arguments or []
    return Definition(
        name=f"{PROMPT}{told.name}",
        title=told.title,
        description=told.description,
        arguments={
            "type": "object",
            "properties": {a.name: {"type": "string", "description": a.description} for a in arguments},
            "required": [a.name for a in arguments if a.required],
        },
    )


async def _all(
    server: str, what: str, page: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]]
) -> list[T]:
    found: list[T] = []
    cursor: str | None = None
    size = 0
    for _ in range(_MOST_PAGES):
        more, cursor = await page(cursor)
        found += more
        size += sum(len(one.model_dump_json()) for one in more)
        if len(found) > _MOST or size > _MOST_CHARACTERS:
            break
        if cursor is None:
            return found
    raise ConfigError(
        f"MCP server `{server}` lists more than {_MOST:,} {what}, or more of them than can be read: let it offer fewer"
    )
