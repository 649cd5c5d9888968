"""Calls that become tasks: the extension `io.modelcontextprotocol/tasks` (SEP-2663), as a client speaks it.

    tools/call ─► {resultType: task, taskId} ─► tasks/get … ─► completed, with what the tool would have answered
                                                tasks/update     answers to what it asks
                                                tasks/cancel

The id is all that is needed to ask: it stands in the journal, so that it is found again after either side was started
anew. The SDK knows the way for results of extensions, and not this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn

import mcp_types as types
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TaskCreated", "TaskTold", "Tasks", "cancel_task", "get_task", "update_task"]

EXTENSION = "io.modelcontextprotocol/tasks"


class TaskTold(types.Result):
    """How a task stands. Read as the extension has it, and not more strictly: what is missing is not known."""

    result_type: Literal["task"] = "task"
    task_id: str = Field(min_length=1, max_length=1000)
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str | None = None
    poll_interval_ms: float | None = Field(default=None, ge=0)
    input_requests: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class TaskCreated(types.Result):
    """In place of a tool's answer. The requests that a task may come with are asked for anew."""

    result_type: Literal["task"] = "task"
    task_id: str = Field(min_length=1, max_length=1000)
    status_message: str | None = None
    poll_interval_ms: float | None = Field(default=None, ge=0)


class _Named(types.RequestParams):
    task_id: str


class _Answers(_Named):
    input_responses: dict[str, Any]


class _Get(types.Request[_Named, Literal["tasks/get"]]):
    """How it stands."""

    method: Literal["tasks/get"] = "tasks/get"
    params: _Named
    name_param = "taskId"


class _Update(types.Request[_Answers, Literal["tasks/update"]]):
    """Answers to what it asks."""

    method: Literal["tasks/update"] = "tasks/update"
    params: _Answers
    name_param = "taskId"


class _Cancel(types.Request[_Named, Literal["tasks/cancel"]]):
    """It is not wanted any more."""

    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: _Named
    name_param = "taskId"


class Tasks(ClientExtension):
    """What tells a server that its calls may become tasks."""

    identifier = EXTENSION

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """A task in place of an answer. It is never resolved here: the run waits for it."""
        return (ResultClaim(result_type="task", model=TaskCreated, resolve=_never),)


async def _never(result: TaskCreated, context: ClaimContext) -> NoReturn:
    raise RuntimeError(f"task {result.task_id} is waited for by the run")


def get_task(task: str) -> _Get:
    """Ask how it stands."""
    return _Get(params=_Named(task_id=task))


def update_task(task: str, answers: dict[str, Any]) -> _Update:
    """Answer what it asks."""
    return _Update(params=_Answers(task_id=task, input_responses=answers))


def cancel_task(task: str) -> _Cancel:
    """Say that nobody wants it any more."""
    return _Cancel(params=_Named(task_id=task))
