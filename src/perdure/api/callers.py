"""Who asks, in a router's signature: the role that an operation takes stands where its parameters do.

async def cancel(run: RunId, caller: Operator, app: TheApp) -> RunOut
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from ..access import Caller, Role
from ..app import App

__all__ = [
    "Admin",
    "Approver",
    "Auditor",
    "Operator",
    "PolicyEditor",
    "TheApp",
    "Viewer",
]


def _with(role: Role) -> Any:
    async def asks(request: Request) -> Caller:
        caller: Caller = request.state.caller  # the route has asked the gate
        caller.require(role)
        return caller

    return Depends(_named(asks, role))


def _named(function: Callable[[Request], Awaitable[Caller]], role: Role) -> Callable[..., Any]:
    function.__name__ = f"asks_as_{role}"
    return function


def _app(request: Request) -> App:
    return request.app.state.perdure


Viewer = Annotated[Caller, _with(Role.VIEWER)]
Operator = Annotated[Caller, _with(Role.OPERATOR)]
Approver = Annotated[Caller, _with(Role.APPROVER)]
PolicyEditor = Annotated[Caller, _with(Role.POLICY_EDITOR)]
Auditor = Annotated[Caller, _with(Role.AUDITOR)]
Admin = Annotated[Caller, _with(Role.ADMIN)]

TheApp = Annotated[App, Depends(_app)]
