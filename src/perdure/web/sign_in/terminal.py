"""`/terminal`: somebody who is signed in lets a terminal of theirs in, which `perdure login` has sent here."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.responses import Response

from ...access.callers import Role
from ...access.cookies import session_of
from ...core.errors import Forbidden, InvalidInput
from ..rooms import Page
from ..visit import Visit

__all__ = ["TERMINAL"]

_CHALLENGE, _STATE = re.compile(r"[A-Za-z0-9_-]{43}"), re.compile(r"[A-Za-z0-9_-]{16,100}")


async def show(visit: Visit) -> Response:
    """What it would be let in for."""
    _asked(visit)
    return await visit.page("sign_in/terminal.html", asked={n: visit.given(n) for n in _NAMES})


async def agree(visit: Visit) -> Response:
    """They agree: a code goes to the port at which the terminal waits."""
    port = _asked(visit)
    entrance, cookie = visit.shell.entrance, session_of(visit.request)
    if entrance is None or cookie is None:
        raise Forbidden("a terminal is let in by somebody who has signed in with a browser")
    code = await entrance.terminals.begin(
        cookie, challenge=visit.given("challenge"), note=visit.given("note")
    )
    href = f"http://127.0.0.1:{port}/callback?{urlencode({'code': code, 'state': visit.given('state')})}"
    answer = await visit.page("sign_in/terminal_in.html", href=href)
    answer.headers["Refresh"] = f"0; url={href}"  # `form-action 'self'` is for where redirects lead, too
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


_NAMES = ("port", "challenge", "state", "note")


def _asked(visit: Visit) -> int:
    port = visit.given("port")
    if (
        not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536)
        or not _CHALLENGE.fullmatch(visit.given("challenge"))
        or not _STATE.fullmatch(visit.given("state"))
    ):
        raise InvalidInput("this is no address that `perdure login` makes: run it again")
    return int(port)


TERMINAL = (
    Page(path="/terminal", handler=show, role=Role.VIEWER),
    Page(path="/terminal", handler=agree, role=Role.VIEWER, method="POST"),
)
"""The pages by which a terminal is let in."""
