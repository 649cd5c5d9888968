"""What the SDK has read of a server, in our own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .definition import Definition

if TYPE_CHECKING:
    from mcp_types import Tool

__all__ = ["definition_of", "text_of", "uncertain", "words"]


def definition_of(told: Tool) -> Definition:
    """A tool."""
    annotations = told.annotations
    return Definition(
        name=told.name,
        title=told.title,
        description=told.description,
        arguments=told.input_schema,
        result=told.output_schema,
        annotations={} if annotations is None else annotations.model_dump(by_alias=True, exclude_none=True),
    )


def uncertain(error: Any) -> bool:
    """Whether it may be the way to the server that failed, and not the server that answered.

    The SDK makes such errors itself: of a connection that is closed, a proxy's HTTP status, an answer it cannot read.
    """
    import mcp_types as types

    own = (types.INTERNAL_ERROR, types.INVALID_REQUEST, types.PARSE_ERROR, types.METHOD_NOT_FOUND)
    return error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT, *own)


def text_of(block: Any) -> str:
    """One block of an answer."""
    match block.type:
        case "text":
            return str(block.text)
        case "resource" if hasattr(block.resource, "text"):
            return str(block.resource.text)
        case "resource_link":
            return f"[resource {block.uri}]"
        case _:
            return f"[{block.type}: not shown]"


def words(error: BaseException) -> str:
    """What went wrong, in one line."""
    inner: Any = error
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    return f"{type(inner).__qualname__}: {str(inner)[:300]}"
