"""Long runs as tasks: the extension `io.modelcontextprotocol/tasks`, in which a task is a run under its own id.

    tools/call ─► {resultType: task, taskId: RUN} ─► tasks/get … ─► completed, with what the tool would have answered
                                                     tasks/update     the person's answers to what it asks
                                                     tasks/cancel     cancels the run

There is no table of tasks: a run is on disk before its id is given away, and any server of the store tells of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER
from pydantic import ValidationError

from ..access import Role
from ..core.errors import PerdureError, UnknownRun
from ..journal import ENDINGS, Approval, RunRecord, RunStatus
from ..views.standing import standing
from ..views.words import iso
from .asking import Asking
from .questions import asked_as, hindrance, mark_of, record_answer, said_in
from .runs import result_of, taken_up

__all__ = ["EXTENSION", "METHODS", "CancelTask", "GetTask", "UpdateTask", "created", "takes_tasks"]

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MS = 1000
TAKEN_UP = timedelta(seconds=2)
"""So long an update waits for its run to hear of it, so that whoever asks next is not told of questions answered."""


class GetTask(types.RequestParams):
    """Of `tasks/get`."""

    task_id: str


class CancelTask(types.RequestParams):
    """Of `tasks/cancel`."""

    task_id: str


class UpdateTask(types.RequestParams):
    """Of `tasks/update`."""

    task_id: str
    input_responses: dict[str, Any]
    """read when it is known what they answer: a key that nothing stands open for is passed over, whatever it has"""


def takes_tasks(asking: Asking) -> bool:
    """Whether the client knows what to do with a task."""
    able = asking.context.session.client_capabilities
    return asking.modern and able is not None and EXTENSION in (able.extensions or {})


def created(asking: Asking, record: RunRecord) -> dict[str, Any]:
    """In place of a tool's answer: the task that it has become."""
    return {"resultType": "task", **_task(asking, record, "working")}


def _task(asking: Asking, record: RunRecord, status: types.TaskStatus) -> dict[str, Any]:
    return {
        "taskId": record.ref.id,
        "status": status,
        "statusMessage": f"{record.status}: {standing(record, asking.app.store.now())}"[:300],
        "createdAt": iso(record.created_at),
        "lastUpdatedAt": iso(record.updated_at),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


async def get(asking: Asking, given: GetTask) -> dict[str, Any]:
    """How a task stands; of one that is over, what the tool would have answered."""
    record = await _record(asking, given.task_id)
    if record.status is RunStatus.CANCELLED:
        return _task(asking, record, "cancelled")
    if record.status in ENDINGS:
        found = (await result_of(asking, record)).model_dump(mode="json", by_alias=True, exclude_none=True)
        return {**_task(asking, record, "completed"), "result": found}
    questions = await _questions(asking, record)
    if questions:
        requests = {
            key: asked_as(one).model_dump(mode="json", by_alias=True, exclude_none=True)
            for key, one in questions.items()
        }
        return {**_task(asking, record, "input_required"), "inputRequests": requests}
    return _task(asking, record, "working")


async def update(asking: Asking, given: UpdateTask) -> dict[str, Any]:
    """What the client's person has answered. What answers no question that stands open now is passed over."""
    record = await _record(asking, given.task_id)
    questions = await _questions(asking, record)
    for key, response in given.input_responses.items():
        approval = questions.get(key)
        if approval is None:
            continue
        try:
            answer = types.ElicitResult.model_validate(response, by_name=False)
        except ValidationError:
            raise MCPError(types.INVALID_PARAMS, f"`{key}` is not answered by a form's result") from None
        if (said := said_in(approval, answer)) is not None:
            await record_answer(asking, approval, said)
    await taken_up(asking, record.ref, within=TAKEN_UP)
    return {}


async def cancel(asking: Asking, given: CancelTask) -> dict[str, Any]:
    """Cancel its run. Of one that has ended nothing changes."""
    record = await _record(asking, given.task_id)
    if record.status not in ENDINGS:
        why = "its MCP client cancelled the task"
        await asking.app.cancel(
            record.ref.id, reason=why, by=asking.caller.subject, tenant=asking.caller.tenant
        )
    return {}


async def _record(asking: Asking, run: str) -> RunRecord:
    """Raises `MCPError` where the client or the caller may not use tasks, and for what is none."""
    if not takes_tasks(asking):
        needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY, f"the client does not declare `{EXTENSION}`", needed
        )
    request = asking.context.request
    if request is not None and request.headers.get(MCP_NAME_HEADER, run) != run:
        # whoever routes by headers has seen another task than the one that is asked for
        raise MCPError(
            types.HEADER_MISMATCH, f"the header `{MCP_NAME_HEADER}` names another task than `taskId`"
        )
    try:
        asking.caller.require(Role.OPERATOR)
        return await asking.record(run)
    except UnknownRun:
        raise MCPError(types.INVALID_PARAMS, f"there is no task `{run[:200]}`") from None
    except PerdureError as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from None


async def _questions(asking: Asking, record: RunRecord) -> Mapping[str, Approval]:
    """What the caller's own person is asked, under keys that no other question ever has."""
    if record.status is not RunStatus.WAITING or not asking.caller.may(Role.APPROVER):
        return {}
    found = await asking.app.open_approvals(record.ref.id, tenant=asking.caller.tenant)
    return {f"q-{mark_of(one)[:24]}": one for one in found if await hindrance(asking, one) is None}


METHODS: Mapping[
    str, tuple[type[types.RequestParams], Callable[[Asking, Any], Awaitable[dict[str, Any]]]]
] = {
    "tasks/get": (GetTask, get),
    "tasks/update": (UpdateTask, update),
    "tasks/cancel": (CancelTask, cancel),
}
