"""Pages for those who are not signed in: a link in a mail, the sign-in itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..access.origins import check_origin
from ..core.errors import PerdureError
from .problems import problem_of

if TYPE_CHECKING:
    from .shell import Shell

__all__ = ["strangers"]

log = logging.getLogger("perdure.web")

Page = Callable[[Request], Awaitable[Response]]


class _Routes(Protocol):
    def __call__(self, path: str, page: Page, method: str = "GET") -> Route: ...


def strangers(shell: Shell, failed: str) -> _Routes:
    """Makes routes of pages that nobody has to be signed in for: what changes something comes from a page of ours.

    `failed` is what the log says of an error; whoever looks is told of it on a page.
    """

    def route(path: str, page: Page, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                if method == "POST":
                    check_origin(request, method)
                return await page(request)
            except PerdureError as error:
                log.info("%s: %s", failed, error)
                return shell.problem(request, problem_of(error))

        return Route(path, endpoint, methods=[method])

    return route
