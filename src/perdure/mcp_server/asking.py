"""One request of an MCP client: who asks, of which app, and how to tell them meanwhile how it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import pydantic_core
from mcp.server.context import ServerRequestContext
from mcp_types import InputResponses
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ..access import Caller
from ..app import App
from ..core.errors import UnknownRun
from ..core.mcp_serve_settings import McpServeSettings
from ..core.people import is_agent
from ..journal import RunRecord
from ..views.watching import Watch

__all__ = ["Asking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A request, with all that its answer takes."""

    app: App
    caller: Caller
    watch: Watch
    context: ServerRequestContext[Any, Any]
    stopping: Callable[[], bool]
    """whether this server is about to end: then whoever waits has not given up"""
    responses: InputResponses | None = None
    """what the client's person has said to what was asked in the round before"""
    state: str | None = None
    """what was kept of the round before; it was sealed, and for this caller and this request"""

    @property
    def settings(self) -> McpServeSettings:
        """The table `[mcp_serve]`."""
        return self.app.mcp_serve

    @property
    def modern(self) -> bool:
        """Whether the client speaks the protocol in which a question is a result, and not a request of the server."""
        return self.context.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the client says beside its request."""
        return cast("Mapping[str, Any]", self.context.meta or {})

    @property
    def kept(self) -> Mapping[str, Any]:
        """What the round before has kept for this one."""
        return {} if self.state is None else pydantic_core.from_json(self.state)

    def answered(self) -> Asking:
        """The same, once what the person said was taken: it answers no second question."""
        return replace(self, responses=None, state=None)

    @property
    def reaches_a_person(self) -> bool:
        """Whether what is asked now comes before the eyes of the person who is the caller.

        A key or token of a program has no person, whatever its client can show.
        """
        if is_agent(self.caller.subject):
            return False
        able = self.context.session.client_capabilities
        asks = None if able is None else able.elicitation
        if asks is None or (asks.form is None and asks.url is not None):
            return False
        return self.modern or self.context.session.can_send_request

    def within(self, seconds: float | None) -> timedelta:
        """How long an answer may wait: as long as was asked for, and no longer than the settings say."""
        most = self.settings.wait
        return most if seconds is None else min(most, timedelta(seconds=seconds))

    async def say(self, progress: float, message: str) -> None:
        """Tell how it goes, where the client wants to know."""
        await self.context.session.report_progress(progress, None, message)

    async def record(self, run: str) -> RunRecord:
        """The row of a run of the caller's tenant. Raises `UnknownRun`."""
        ref = self.app.ref(run, self.caller.tenant)
        record = await self.app.store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`")
        return record
