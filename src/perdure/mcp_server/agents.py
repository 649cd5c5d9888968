"""Agents as tools: a call is a run, which goes on whatever becomes of the call.

tools/call refund ─► run (once, by the client's key) ─► waits, tells how it goes ─┬► it ended: its result
                                                                                  ├► it asks: the client's person
                                                                                  └► it takes longer: its id, or task
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import anyio
import mcp_types as types

from ..access import Role
from ..app import App
from ..core.errors import AnswerRefused, ConfigError, InvalidInput, UnknownStep
from ..core.ids import RunRef
from ..journal import Approval, RunRecord, RunStatus
from ..runtime import Agent
from .asking import Asking
from .forms import form_of, given_to, result_form, tool_name, words_of
from .questions import hindrance, mark_of, put, record_answer
from .runs import result_of, settled
from .starting import accepted
from .tasks import created, takes_tasks
from .tool import Served, Told
from .tools import OWN

__all__ = ["agent_tools"]

TASK_AFTER = timedelta(seconds=1)
"""A client that takes tasks gets one for a run that takes longer than this."""


def agent_tools(app: App) -> Mapping[str, Served]:
    """A tool for each agent that is offered. Raises `ConfigError` where two tools have one name."""
    made: dict[str, Served] = {}
    for agent in app.offered_agents().values():
        name = tool_name(agent)
        if name in OWN or name in made:
            other = "the server has a tool" if name in OWN else "another agent's tool"
            raise ConfigError(
                f"agent `{agent.name}` is offered to MCP clients as `{name}`, and {other} of that name: rename it"
            )
        made[name] = _tool(agent, name)
    return made


def _tool(agent: Agent, name: str) -> Served:
    said = words_of(agent) or f"Run the agent `{agent.name}`."

    async def call(arguments: Mapping[str, Any], asking: Asking) -> Told:
        return await _call(agent, arguments, asking)

    return Served(
        name=name,
        role=Role.OPERATOR,
        call=call,
        listed=types.Tool(
            name=name,
            title=f"Agent {agent.name}",
            description=f"{said}\n\nThis runs an agent. Where the answer comes before the run has ended, `get_run` "
            "tells of it: do not call this again for the same thing.",
            input_schema=form_of(agent),
            output_schema=result_form(agent),
            annotations=types.ToolAnnotations(
                title=f"Agent {agent.name}",
                read_only_hint=False,
                destructive_hint=True,
                idempotent_hint=False,
                open_world_hint=True,
            ),
        ),
    )


async def _call(agent: Agent, arguments: Mapping[str, Any], asking: Asking) -> Told:
    begun = asking.kept.get("run")
    if begun is None:
        ref = (await accepted(asking, agent, given_to(agent, arguments))).ref
    else:
        record = await asking.record(begun)
        if record.agent != agent.name:
            raise InvalidInput(f"run `{begun}` is none of agent `{agent.name}`")
        ref = record.ref
    try:
        return await _waited(ref, asking)
    except asyncio.CancelledError:
        if asking.settings.on_cancel == "cancel" and not asking.stopping():
            by, why = asking.caller.subject, "the MCP client gave its call up"
            with anyio.CancelScope(shield=True):
                await asking.app.cancel(ref.id, reason=why, by=by, tenant=ref.tenant)
        raise


async def _waited(ref: RunRef, asking: Asking) -> Told:
    within = asking.within(None)
    if takes_tasks(asking):
        record = await settled(asking, ref, within=min(within, TASK_AFTER))
        return await result_of(asking, record) if record.ended_at is not None else created(asking, record)
    record = await settled(asking, ref, within=within)
    while (question := await _question(asking, record)) is not None:
        said = await put(asking, question, keep={"run": ref.id})
        if isinstance(said, types.InputRequiredResult):
            return said
        if said is None:
            break
        try:
            await record_answer(asking, question, said)
        except (AnswerRefused, UnknownStep):
            break  # what is asked now is told with the run
        asking = asking.answered()
        record = await settled(asking, ref, within=within, beyond=mark_of(question))
    return await result_of(asking, record)


async def _question(asking: Asking, record: RunRecord) -> Approval | None:
    """What it asks, where the caller's own person can answer that here."""
    if record.status is not RunStatus.WAITING or not asking.caller.may(Role.APPROVER):
        return None
    for one in await asking.app.open_approvals(record.ref.id, tenant=asking.caller.tenant):
        if await hindrance(asking, one) is None:
            return one
    return None
