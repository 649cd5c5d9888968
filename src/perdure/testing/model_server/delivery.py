"""How a reply goes out, and how it does not where a fault is in its way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .connection import Connection
from .faults import ALTERED, REFUSALS, Fault, altered
from .reply import Recorded, Reply
from .request import Request
from .wire import Event, Wire, sse

__all__ = ["again", "deliver"]

_ANSWER_TOOLS = ("final_answer", "final_result")
"""How tools are called that take an answer in a form: in Perdure, in pydantic-ai."""

_STREAM = "text/event-stream; charset=utf-8"

_PAGE = (
    "<!doctype html><html><title>Sign in</title><body>This network asks you to sign in first.</body></html>"
)

_OTHER_SHAPE = {"result": {"ok": True}, "version": 2}


async def deliver(
    connection: Connection,
    wire: Wire,
    request: Request,
    *,
    reply: Reply,
    fault: Fault | None,
    released: asyncio.Event,
) -> bool:
    """Answer, with the fault if there is one. False: the connection is not to be used again. Raises `Gone`."""
    reply = _in_form(reply, request)
    delay = reply.delay
    if fault is not None:
        delay += fault.delay or (1 if fault.kind == "slow" else 0)
        if fault.kind in ALTERED:
            reply = altered(fault, reply, request)
    if delay:
        await asyncio.sleep(delay)
    if fault is None or fault.kind in ALTERED or fault.kind == "slow":
        return await _send(connection, wire, request, reply)
    return await _fail(connection, wire, request, reply, fault, released)


def _in_form(reply: Reply, request: Request) -> Reply:
    """A structured answer goes to the tool that takes it, where there is one."""
    if not reply.structured:
        return reply
    tool = request.forced_tool
    if tool is None and request.output is None:
        tool = next((name for name in request.tool_names if name in _ANSWER_TOOLS), None)
    if tool is None:
        return reply
    return replace(reply, text="", calls=(*reply.calls, (tool, reply.text)))


async def _send(connection: Connection, wire: Wire, request: Request, reply: Reply) -> bool:
    headers = dict(reply.headers)
    recorded = reply.recorded
    if recorded is not None:
        headers.update(recorded.headers)
        if recorded.status >= 400:
            await again(connection, recorded, headers)
            return True
    if not request.stream:
        await connection.answer(200, _whole(wire, reply, request), headers)
        return True
    await connection.begin(200, headers, kind=_STREAM)
    for i, event in enumerate(_events(wire, reply, request)):
        if reply.pace and i:
            await asyncio.sleep(reply.pace)
        await connection.write(sse(event))
    await connection.end()
    return True


async def again(connection: Connection, recorded: Recorded, headers: Mapping[str, str]) -> None:
    """Give an answer as it was recorded, whatever it is to."""
    if recorded.events is None:
        body = recorded.body if isinstance(recorded.body, str) else _dump(recorded.body)
        await connection.answer(recorded.status, body, headers)
    else:
        await _stream(connection, [Event(data, name) for name, data in recorded.events])


def _whole(wire: Wire, reply: Reply, request: Request) -> Mapping[str, object]:
    return wire.whole(reply, request) if reply.recorded is None else reply.recorded.body


def _events(wire: Wire, reply: Reply, request: Request) -> Iterable[Event]:
    if reply.recorded is None or reply.recorded.events is None:
        return wire.events(reply, request)
    return (Event(data, name) for name, data in reply.recorded.events)


async def _fail(
    connection: Connection, wire: Wire, request: Request, reply: Reply, fault: Fault, released: asyncio.Event
) -> bool:
    kind = fault.kind
    if kind in REFUSALS or (kind == "error_in_stream" and not request.stream):
        failure = wire.failure(fault, request)
        if failure.status == 200 and request.stream and not isinstance(failure.body, str):
            await _stream(connection, [Event(failure.body)])
        else:
            await connection.answer(failure.status, failure.body, failure.headers)
        return True
    match kind:
        case "hang":
            await released.wait()
            return await _send(connection, wire, request, reply)
        case "dropped":
            await connection.close()
            return False
        case "reset":
            connection.reset()
            return False
        case "no_json":
            await connection.answer(200, _PAGE, {})
            return True
        case "wrong_schema" | "empty":
            body = _OTHER_SHAPE if kind == "wrong_schema" else wire.hollow(request)
            if not request.stream:
                await connection.answer(200, body, {})
            elif kind == "wrong_schema":
                await _stream(connection, [Event(body)])
            else:
                await _stream(connection, wire.silent(request))
            return True
        case _:
            return await _half(connection, wire, request, reply, fault, released)


async def _stream(connection: Connection, events: list[Event]) -> None:
    await connection.begin(200, {}, kind=_STREAM)
    for event in events:
        await connection.write(sse(event))
    await connection.end()


async def _half(
    connection: Connection, wire: Wire, request: Request, reply: Reply, fault: Fault, released: asyncio.Event
) -> bool:
    """The first part of an answer, and then what the fault has in store: `half_body`, `cut_off`, `stalled`, ..."""
    first, rest = _parts(wire, request, reply, fault)
    neat = fault.kind in ("half_body", "error_in_stream")
    if request.stream:
        await connection.begin(200, {}, kind=_STREAM)
    else:
        length = len(first[0]) if neat else len(first[0]) + len(rest[0])
        await connection.begin(200, {}, kind="application/json", length=length)
    for part in first:
        await connection.write(part)
    if fault.kind == "error_in_stream":
        await connection.write(sse(wire.broken(fault, request)))
    if fault.kind == "stalled":
        await released.wait()
        for part in rest:
            await connection.write(part)
    elif not neat:
        await connection.close()
        return False
    await connection.end()
    return True


def _parts(wire: Wire, request: Request, reply: Reply, fault: Fault) -> tuple[list[bytes], list[bytes]]:
    if not request.stream:
        data = _dump(_whole(wire, reply, request))
        return [data[: len(data) // 2]], [data[len(data) // 2 :]]
    told = [sse(event) for event in _events(wire, reply, request)]
    half = len(told) // 2 if fault.after is None else fault.after
    return told[:half], told[half:]


def _dump(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
