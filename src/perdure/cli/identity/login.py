"""`perdure login`: a session of yours for this terminal, at a server where you sign in with your browser."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import threading
import urllib.error
import urllib.request
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import typer

from ...core.errors import ConfigError, ProviderRefused
from ..command import Cli, command
from ..tree import root

__all__: list[str] = []

PATIENCE_SECONDS = 600.0
MOST_BYTES = 65_536


@command(root, "login", rich_help_panel="Work")
async def login(
    cli: Cli,
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the server: https://perdure.example.org.")],
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page for you.")] = True,
) -> None:
    """Sign in at a server with your browser, and print a token for PERDURE_API_KEY: of you, and of this terminal."""
    try:
        from ...identity.oauth import Loopback
    except ModuleNotFoundError as error:
        raise ConfigError(f'a sign-in needs `{error.name}`: `pip install "perdure[vault]"`') from error
    from ...core.provider_settings import is_secure

    if not is_secure(url):
        raise ConfigError(f"`{url}` is no `https` address (`http` only to this machine itself)")
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    async with Loopback() as loopback:
        port = urlsplit(loopback.redirect_uri).port
        asked = {"port": port, "challenge": challenge, "state": state, "note": socket.gethostname()[:60]}
        page = f"{url.rstrip('/')}/terminal?{urlencode(asked)}"
        waiting = asyncio.ensure_future(loopback.came_back(state))
        cli.note("Let this terminal in here:")
        cli.err.print(page, soft_wrap=True, highlight=False, markup=False)
        if browser:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                came = await waiting
        except TimeoutError:
            raise ProviderRefused("nobody let this terminal in within ten minutes", code="timeout") from None
    code = parse_qs(urlsplit(came).query).get("code", [""])[0]
    told = await asyncio.to_thread(_exchange, f"{url.rstrip('/')}/terminal/token", code, verifier)
    cli.note(f"you are in, as {told['subject']}; keep this to yourself, as PERDURE_API_KEY:")
    if cli.json:
        cli.answer(told)
    else:
        cli.out.print(told["token"], soft_wrap=True, highlight=False, markup=False)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


def _exchange(url: str, code: str, verifier: str) -> dict[str, Any]:
    form = urlencode({"code": code, "verifier": verifier}).encode()
    try:
        with urllib.request.build_opener(_NoRedirect()).open(url, data=form, timeout=15) as answer:
            found: dict[str, Any] = json.loads(answer.read(MOST_BYTES))
            return found
    except (urllib.error.URLError, ValueError) as error:
        raise ProviderRefused(f"`{url}` does not let this terminal in: {error}", code="refused") from error
