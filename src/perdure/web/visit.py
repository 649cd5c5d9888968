"""One visit: a request, who makes it, and what a handler needs to answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..access.callers import Caller
from ..core.errors import ConfigError, UnknownRun
from ..core.ids import RunRef
from ..journal import RunRecord, Store
from .assets import version as assets_version
from .guard import nonce_of

if TYPE_CHECKING:
    from ..app import App
    from .shell import Shell

__all__ = ["Visit", "address", "attributes"]


def address(request: Request, path: str, query: Mapping[str, Any] | None = None) -> str:
    """The address of a page, wherever the dashboard is mounted; what is None or empty in the query is left out."""
    given = {name: value for name, value in (query or {}).items() if value not in (None, "", [], ())}
    root: str = request.scope.get("root_path", "")
    return quote(root + path, safe="/:@~%-._") + (f"?{urlencode(given, doseq=True)}" if given else "")


def attributes(mark: str, given: Mapping[str, Any]) -> Markup:
    """Attributes for htmx, with the mark without which `shell.js` lets nothing ask: `hx(get=..., target=...)`."""
    said = [
        f'hx-{name.replace("_", "-")}="{escape(value)}"' for name, value in given.items() if value is not None
    ]
    return Markup(" ".join([f'data-mark="{escape(mark)}"', *said]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of somebody who may make it."""

    shell: Shell
    request: Request
    me: Caller
    form: FormData = field(default_factory=FormData)
    """what a POST brought, its token checked"""

    @property
    def app(self) -> App:
        """The application behind the pages."""
        return self.shell.app

    @property
    def store(self) -> Store:
        """Its store."""
        return self.shell.app.store

    @property
    def tenant(self) -> str:
        """That of the caller: no page shows another's."""
        return self.me.tenant

    @property
    def by(self) -> str:
        """Under which name what the caller does is journaled."""
        return self.me.principal.subject

    @property
    def partial(self) -> bool:
        """Whether htmx asks, for a part of the page."""
        headers = self.request.headers
        return headers.get("hx-request") == "true" and "hx-history-restore-request" not in headers

    @property
    def last_seen(self) -> str | None:
        """Of a live page: what it shows, as the page said first, and as the browser does when it reconnects."""
        return self.request.headers.get("last-event-id") or self.request.query_params.get("seen")

    def given(self, name: str, default: str = "") -> str:
        """One field of the query, or of the form of a POST; `default` where it is missing, or a file."""
        value = self.form.get(name) if self.request.method == "POST" else self.request.query_params.get(name)
        return value.strip() if isinstance(value, str) else default

    def url(self, path: str, **query: Any) -> str:
        """The address of a page."""
        return address(self.request, path, query)

    def run_ref(self) -> RunRef:
        """The run that the path names, of the caller's tenant. Raises `UnknownRun` for what can be no run's id."""
        name = self.request.path_params["run"]
        try:
            return self.app.ref(name, self.tenant)
        except ConfigError as error:
            raise UnknownRun(f"no run `{name[:80]}`") from error

    async def run(self) -> RunRecord:
        """The row of the run that the path names. Raises `UnknownRun`, also where it is of another tenant."""
        ref = self.run_ref()
        record = await self.store.get(ref)
        if record is None:
            raise UnknownRun(f"there is no run `{ref.id}` in the tenant `{ref.tenant}`")
        return record

    async def page(self, template: str, *, status: int = 200, **told: Any) -> Response:
        """A whole page."""
        context = await self.shell.around(self)
        text = self.shell.render(template, {**context, "status": status, **told})
        return HTMLResponse(text, status_code=status, headers={"Vary": "HX-Request"})

    def part(self, template: str, **told: Any) -> Response:
        """A part of a page, for htmx."""
        text = self.shell.render(template, {**self.context(), **told})
        return HTMLResponse(text, headers={"Vary": "HX-Request"})

    def to(self, path: str, **query: Any) -> Response:
        """What was asked is done: go there, by GET."""
        return RedirectResponse(self.url(path, **query), status_code=303)

    def context(self) -> dict[str, Any]:
        """What every template of a visit has."""
        tokens = self.shell.tokens
        mark = tokens.mark(self.me)

        def hx(**given: Any) -> Markup:
            return attributes(mark, given)

        def asset(name: str) -> str:
            return self.url(f"/static/{assets_version()}/{name}")

        return {
            "me": self.me,
            "now": self.store.now(),
            "nonce": nonce_of(self.request),
            "csrf": tokens.token(self.me),
            "ours": mark,
            "hx": hx,
            "url": self.url,
            "asset": asset,
        }
