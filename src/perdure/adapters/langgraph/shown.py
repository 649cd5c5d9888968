"""The tools of a LangChain request as its model is to see them, in the form of whichever provider.

And the calls of its answer, without what is not for the tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ...runtime.frameworks.offering import Offering

__all__ = ["shown", "taken", "told"]

_FORMS = ("parameters", "input_schema", "inputSchema")


def shown(arguments: Mapping[str, Any], offering: Offering) -> dict[str, Any]:
    """The arguments of a request, with other tools in them."""
    made = dict(arguments)
    for name in ("tools", "functions"):
        if made.get(name):
            made[name] = [tool for each in made[name] for tool in _tool(each, offering)]
    return made


def _tool(tool: Any, offering: Offering) -> Iterator[Any]:
    if not isinstance(tool, Mapping):
        name = getattr(tool, "name", None) or getattr(tool, "__name__", None) or type(tool).__name__
        if offering.offers(str(name)):
            yield tool
        return
    fields = dict(cast("Mapping[str, Any]", tool))
    if fields.get("function_declarations") is not None:  # Google's: several in one
        declared = [one for each in fields["function_declarations"] for one in _tool(each, offering)]
        if declared:
            yield {**fields, "function_declarations": declared}
        return
    for inner in ("function", "toolSpec"):  # OpenAI's and Bedrock's
        if isinstance(fields.get(inner), Mapping):
            for one in _one(fields[inner], offering):
                yield {**fields, inner: one}
            return
    if fields.get("type") in (None, "function", "custom") and "name" in fields:
        yield from _one(fields, offering)
    else:
        yield tool  # the provider runs it, and the owner lets it through


def _one(fields: Mapping[str, Any], offering: Offering) -> Iterator[dict[str, Any]]:
    name = str(fields.get("name"))
    if not offering.offers(name):
        return
    made = dict(fields)
    where = next((form for form in _FORMS if fields.get(form) is not None), "parameters")
    form = fields.get(where)
    if isinstance(form, Mapping) and set(cast("Mapping[str, Any]", form)) == {"json"}:
        made[where] = {"json": offering.form(name, form["json"])}
    elif (new := offering.form(name, form)) is not None:
        made[where] = new
    yield made


def told(messages: list[BaseMessage], offering: Offering) -> list[BaseMessage]:
    """What the model is told, with what is asked of its answer: in the first system message, as providers want it."""
    if not offering.instruction:
        return messages
    first = messages[0] if messages else None
    if not isinstance(first, SystemMessage):
        return [SystemMessage(offering.instruction), *messages]
    content: Any = first.content
    more: Any = (
        f"{content}\n\n{offering.instruction}"
        if isinstance(content, str)
        else [*content, {"type": "text", "text": offering.instruction}]
    )
    return [first.model_copy(update={"content": more}), *messages[1:]]


def taken(result: ChatResult, offering: Offering) -> ChatResult:
    """An answer whose calls hold what is for the tools."""
    made: list[ChatGeneration] = []
    for generation in result.generations:
        message = generation.message
        if isinstance(message, AIMessage) and message.tool_calls:
            calls = [{**c, "args": offering.taken(c["name"], c["args"])} for c in message.tool_calls]
            message = message.model_copy(update={"tool_calls": calls})
        elif isinstance(message, AIMessage):
            message = message.model_copy(update={"content": _without_said(message.content, offering)})
        made.append(generation.model_copy(update={"message": message}))
    return result.model_copy(update={"generations": made})


def _without_said(content: Any, offering: Offering) -> Any:
    """A final answer without what the model says of itself, which stands at its end."""
    if isinstance(content, str):
        return offering.answered(content)
    blocks: list[Any] = list(content)
    for i in reversed(range(len(blocks))):
        if isinstance(blocks[i], str):
            blocks[i] = offering.answered(blocks[i])
            break
        if blocks[i].get("type") == "text":
            blocks[i] = {**blocks[i], "text": offering.answered(blocks[i].get("text") or "")}
            break
    return blocks
