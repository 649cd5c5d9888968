"""How a request of a router is read: first who asks, then, of those who may ask at all, what they send.

JSON is read by a parser that gives up at `DEEPEST` levels: what is deeper could exhaust a stack.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import pydantic_core
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from ..access import Gate

__all__ = ["DEEPEST", "GatedRoute", "OpenRoute"]

DEEPEST = 64
"""Levels of JSON that somebody may send."""


class _JsonRequest(Request):
    """Reads JSON with bounded depth."""

    async def json(self) -> Any:
        """The body. Raises `json.JSONDecodeError`, which is answered with what is wrong and where."""
        body = await self.body()
        try:
            value = pydantic_core.from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise json.JSONDecodeError(str(error)[:200], "", 0) from None
        if _deeper(value, DEEPEST):
            raise json.JSONDecodeError(f"it has more than {DEEPEST} levels", "", 0)
        return value


def _deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value has more levels than that. The parser has bounded them, so this may recurse."""
    if isinstance(value, dict):
        return levels == 0 or any(_deeper(v, levels - 1) for v in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return levels == 0 or any(_deeper(v, levels - 1) for v in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return False


def _unknown(name: str, known: set[str]) -> str:
    """What was asked for would be silently not done: a filter with a typing error would let all through."""
    there = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
    return f"`{name[:80]}` is no parameter here; those that are: {there}"


class OpenRoute(APIRoute):
    """A route that anybody may ask."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        handle = super().get_route_handler()

        known = {field.alias for field in self.dependant.query_params}

        async def read(request: Request) -> Response:
            for name in request.query_params:
                if name not in known:
                    raise HTTPException(422, _unknown(name, known))
            return await handle(_JsonRequest(request.scope, request.receive))

        return read


class GatedRoute(OpenRoute):
    """A route for those whom the gate knows. Nothing of a stranger's body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        handle = super().get_route_handler()

        async def asked(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            request.state.caller = await gate.caller_of(request)
            return await handle(request)

        return asked
