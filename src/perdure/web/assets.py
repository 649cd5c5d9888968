"""Static files: style, scripts, fonts, and what is vendored of others; all of it in the wheel.

A file's address holds a digest of what is in the folder, so a browser may keep it for ever, and a new release is seen
at once.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

__all__ = ["Assets", "version"]

FOLDER = Path(__file__).parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".png": "image/png",
    ".json": "application/json",
}
"""What is served at all, and as what: what the system's own table says differs from machine to machine."""

_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def version() -> str:
    """A digest of all static files: the part of their addresses that changes with them."""
    digest = hashlib.sha256()
    for path in _files().values():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _files() -> dict[str, Path]:
    """What may be asked for, by its path: a name that is not here leads nowhere, whatever it holds."""
    found = (path for path in sorted(FOLDER.rglob("*")) if path.is_file() and path.suffix in _TYPES)
    return {path.relative_to(FOLDER).as_posix(): path for path in found}


class Assets:
    """Serves them: an ASGI application, mounted at `/static`. They are no secret: nobody has to be known for them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/static/VERSION/PATH`."""
        asked, _, name = scope["path"].rpartition("/static/")[2].partition("/")
        path = _files().get(name)
        if path is None or scope["method"] not in ("GET", "HEAD"):
            await Response("not found", status_code=404, media_type="text/plain")(scope, receive, send)
            return
        # An address of another release still finds its file, which may have changed: it is not kept.
        kept = _FOR_EVER if asked == version() else "no-cache"
        headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
        await FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)(scope, receive, send)
