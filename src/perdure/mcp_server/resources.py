"""What a client may read without calling a tool: stories, handovers, and what agents take and return.

perdure://runs/RUN                the story of a run, a line each
perdure://series/SERIES           the handover of a series, as Markdown
perdure://agents/AGENT            an agent: its words, and the schemas of its input and result
"""

from __future__ import annotations

from urllib.parse import quote, unquote

import mcp_types as types
from mcp.shared.exceptions import MCPError

from ..core.errors import Forbidden, PerdureError
from ..core.ids import check_id
from ..views.words import pretty, safe
from .asking import Asking
from .forms import form_of, words_of
from .tools.runs import story
from .words import DATA, cut

__all__ = ["listed", "read", "templates"]

SCHEME = "perdure://"
_KINDS = ("runs", "series", "agents")


async def listed(asking: Asking) -> list[types.Resource]:
    """Those that have a name now: offered agents, and series."""
    found = [
        types.Resource(
            uri=f"{SCHEME}agents/{quote(name)}",
            name=f"agent {name}",
            description=(words_of(agent) or f"The agent {name}").split("\n")[0][:300],
            mime_type="application/json",
        )
        for name, agent in asking.app.offered_agents().items()
    ]
    if asking.caller.sees_payloads:
        found += [_handover(name) for name in await asking.app.series(tenant=asking.caller.tenant)]
    return found


def _handover(series: str) -> types.Resource:
    return types.Resource(
        uri=f"{SCHEME}series/{quote(series)}",
        name=f"series {series}",
        description="What was done, what is left, and notes for the next run",
        mime_type="text/markdown",
    )


def templates(asking: Asking) -> list[types.ResourceTemplate]:
    """What is found by name."""
    if not asking.caller.sees_payloads:
        return []
    return [
        types.ResourceTemplate(
            uri_template=f"{SCHEME}runs/{{run}}",
            name="story of a run",
            description="What happened in a run, a line each",
            mime_type="text/plain",
        ),
        types.ResourceTemplate(
            uri_template=f"{SCHEME}series/{{series}}",
            name="handover of a series",
            description="What was done, what is left, and notes for the next run",
            mime_type="text/markdown",
        ),
    ]


async def read(asking: Asking, uri: str) -> types.ReadResourceResult:
    """One of them. Raises `MCPError` for what is not there, and for what the caller may not read."""
    kind, _, name = uri.removeprefix(SCHEME).partition("/")
    try:
        if not uri.startswith(SCHEME) or kind not in _KINDS:
            raise MCPError(
                types.INVALID_PARAMS, f"there is no resource `{safe(uri[:200])}`", {"uri": uri[:200]}
            )
        text, mime = await _text(asking, kind, unquote(name))
    except PerdureError as error:
        raise MCPError(types.INVALID_PARAMS, safe(str(error))[:2000], {"uri": uri[:200]}) from None
    text = cut(text, asking.settings.most_output)
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime, text=text)])


async def _text(asking: Asking, kind: str, name: str) -> tuple[str, str]:
    caller = asking.caller
    if kind == "agents":
        agent = asking.app.offered_agents().get(name)
        if agent is None:
            raise MCPError(types.INVALID_PARAMS, f"no agent `{safe(name[:80])}` is offered here")
        told = {
            "agent": agent.name,
            "version": agent.version,
            "description": words_of(agent),
            "takes": form_of(agent),
            "returns": agent.output.schema(),
        }
        return pretty(told, indent=2), "application/json"
    if not caller.sees_payloads:
        raise Forbidden(
            f"`{caller.subject}` does not see what runs did: it takes the role `operator`, `approver` or `auditor`"
        )
    check_id(name, what="a run" if kind == "runs" else "a series")
    if kind == "series":
        handover = await asking.app.handover(name, tenant=caller.tenant)
        return f"{DATA}\n\n{handover.markdown()}", "text/markdown"
    told = await story(asking, name, limit=500)
    return "\n".join([DATA, *told.lines]), "text/plain"
