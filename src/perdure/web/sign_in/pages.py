"""Signing in and out: what `access.entrance` does, as pages.

GET  /sign-in                     the ways in
GET  /sign-in/link?token=…        a button, which the page presses by itself: previews of links press none
POST /sign-in/link                in
POST /sign-in/NAME                to the provider
GET  /sign-in/NAME/callback       back from it, and in
GET  /sign-in/NAME/answer         back from it, having signed in for one answer
POST /sign-out
POST /terminal/token              a terminal's code becomes its session; `terminal.py` has the page
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ...access.cookies import clear_session, is_https, session_of, set_session
from ...access.entrance import Begun, Come, Entrance
from ...access.links import LINK_PATH
from ...core.errors import AccessRefused
from ..strangers import strangers
from ..visit import address

if TYPE_CHECKING:
    from ..shell import Shell

__all__ = ["away", "sign_in_routes"]

_BINDING = "perdure_sign_in"
_BINDING_SECONDS = 600


def sign_in_routes(shell: Shell, entrance: Entrance) -> list[BaseRoute]:
    """Their addresses."""
    pages = _Pages(shell, entrance)
    routes = strangers(shell, "a sign-in did not work")
    return [
        routes("/sign-in", pages.ways),
        routes(LINK_PATH, pages.link),
        routes(LINK_PATH, pages.by_link, "POST"),
        routes("/sign-in/{name}", pages.begin, "POST"),
        routes("/sign-in/{name}/callback", pages.callback),
        routes("/sign-in/{name}/answer", pages.answer),
        routes("/sign-out", pages.leave, "POST"),
        Route("/terminal/token", pages.token, methods=["POST"]),
    ]


def away(shell: Shell, request: Request, begun: Begun) -> Response:
    """To the provider, by a page and not by a redirect: `form-action 'self'` is for where redirects lead, too."""
    answer = shell.stranger(request, "sign_in/away.html", href=begun.url)
    answer.headers["Refresh"] = f"0; url={begun.url}"
    answer.set_cookie(
        _BINDING,
        begun.binding,
        max_age=_BINDING_SECONDS,
        path=address(request, "/sign-in"),
        httponly=True,
        samesite="lax",  # strict would not come back from the provider's page
        secure=is_https(request),
    )
    return answer


class _Pages:
    def __init__(self, shell: Shell, entrance: Entrance) -> None:
        self._shell = shell
        self._entrance = entrance

    async def ways(self, request: Request) -> Response:
        return self._shell.stranger(
            request,
            "sign_in/ways.html",
            providers=self._entrance.providers,
            takes_links=self._entrance.takes_links,
            to=request.query_params.get("to", ""),
        )

    async def link(self, request: Request) -> Response:
        return self._shell.stranger(request, "sign_in/link.html", token=request.query_params.get("token", ""))

    async def by_link(self, request: Request) -> Response:
        form = await request.form()
        come = await self._entrance.by_link(request, _text(form.get("token")))
        return self._in(request, come, RedirectResponse(_page(request, come.to), status_code=303))

    async def begin(self, request: Request) -> Response:
        form = await request.form()
        begun = await self._entrance.begin(
            request, request.path_params["name"], to=_text(form.get("to")) or "/"
        )
        return away(self._shell, request, begun)

    async def callback(self, request: Request) -> Response:
        name, binding = request.path_params["name"], request.cookies.get(_BINDING)
        come = await self._entrance.finish(request, name, binding=binding)
        # Not by a redirect: that would still count as coming from the provider's site, and the cookie is for ours.
        href = _page(request, come.to)
        answer = self._shell.stranger(request, "sign_in/in.html", subject=come.subject, href=href)
        answer.headers["Refresh"] = f"0; url={href}"
        answer.delete_cookie(_BINDING, path=address(request, "/sign-in"))
        return self._in(request, come, answer)

    async def answer(self, request: Request) -> Response:
        name, binding = request.path_params["name"], request.cookies.get(_BINDING)
        said = await self._entrance.finish_answer(request, name, binding=binding)
        done = "approved" if said.approved else "rejected"
        href = address(request, "/approvals", {"done": done, "run": said.run})
        answer = self._shell.stranger(request, "sign_in/answered.html", approved=said.approved, href=href)
        answer.headers["Refresh"] = f"0; url={href}"  # see `callback`
        answer.delete_cookie(_BINDING, path=address(request, "/sign-in"))
        return answer

    async def leave(self, request: Request) -> Response:
        await self._entrance.leave(session_of(request))
        answer = RedirectResponse(address(request, "/sign-in"), status_code=303)
        clear_session(answer, request)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    async def token(self, request: Request) -> Response:
        """For a terminal, which is no browser: its code and its verifier say who it is."""
        form = await request.form()
        try:
            token, subject = await self._entrance.let_in(
                request, _text(form.get("code")), _text(form.get("verifier"))
            )
        except AccessRefused as error:
            return JSONResponse({"detail": str(error)}, status_code=error.status)
        return JSONResponse({"token": token, "subject": subject})

    def _in(self, request: Request, come: Come, answer: Response) -> Response:
        set_session(answer, request, come.cookie)
        return answer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _page(request: Request, to: str) -> str:
    """The address of a page that was asked for, with its query."""
    path, mark, query = to.partition("?")
    return address(request, path) + (mark + quote(query, safe="=&%+-._~") if mark else "")
