"""From what a store holds to what a tool answers with: short, in words, and without what the caller may not see."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, Field

from ..governance import from_nanos
from ..journal import Approval, RunStatus
from ..views.runs import RunRow
from ..views.standing import progress_text, waits_for
from ..views.words import iso, one_line

__all__ = ["QuestionTold", "RunFound", "RunTold", "question_told", "run_told"]

MOST = 500
"""Characters of one text of a run."""


class QuestionTold(BaseModel):
    """A question that stands open."""

    run: str
    step: str
    agent: str
    question: str | None = None
    tool: str | None = Field(
        default=None, description="The call that is to be approved; absent: the agent asks"
    )
    arguments: dict[str, Any] | None = None
    choices: list[str] | None = None
    digest: str | None = Field(default=None, description="What an answer to a call is bound to")
    requester: str | None = None
    asked: list[str] | None = Field(default=None, description="Who may answer; absent: every approver")
    opened_at: str
    due: str | None = None


class RunTold(BaseModel):
    """A run as it stands."""

    run: str
    agent: str
    version: str
    status: str = Field(
        description="pending, running, waiting; or the end: succeeded, partial, escalated, failed, cancelled, "
        "quarantined"
    )
    waits_for: str | None = None
    goal: str | None = None
    progress: str | None = None
    labels: dict[str, str] = {}
    started_at: str
    ended_at: str | None = None
    cost_usd: float | None = None
    result: Any = None
    why: str | None = Field(default=None, description="Of an end: why; of a failure: the error")
    missing: list[str] | None = Field(default=None, description="What a partial result lacks")
    questions: list[QuestionTold] = []
    next: str | None = Field(default=None, description="What to do next")


class RunFound(BaseModel):
    """A page of runs."""

    runs: list[RunTold]
    after: str | None = Field(
        default=None, description="Give it as `after` for the next page; absent: no more"
    )


def run_told(row: RunRow, *, payload: bool) -> RunTold:
    """A run's row; without its goal, which is made of its input, for those who may not see that."""
    progress = None if row.progress is None else json.loads(row.progress)
    figures = row.figures
    return RunTold(
        run=row.ref.id,
        agent=row.agent,
        version=row.version,
        status=row.status.value,
        waits_for=waits_for(row.status, row.reasons) or None,
        goal=None if figures is None or not payload or figures.goal is None else _text(figures.goal),
        progress=None if progress is None else _text(progress_text(progress)),
        labels=dict(row.labels),
        started_at=iso(row.started_at) or "",
        ended_at=iso(row.ended_at),
        cost_usd=None if figures is None or not figures.money else float(from_nanos(figures.money)),
        next=_next(row),
    )


def _next(row: RunRow) -> str | None:
    if row.status is RunStatus.WAITING and "approval" in row.reasons:
        return "a person has to answer: `answer_question` puts the question before the one you work for"
    if row.ended_at is None:
        return "it goes on by itself; `get_run` with `wait_seconds` watches it"
    return None


def question_told(approval: Approval, *, payload: bool) -> QuestionTold:
    """A question; without what is shown for those who may not see what calls are given."""
    told = approval.told
    return QuestionTold(
        run=approval.ref.id,
        step=approval.step,
        agent=approval.agent,
        question=_text(approval.question) if payload or approval.digest is not None else None,
        tool=approval.tool,
        arguments=dict(approval.arguments) if payload and approval.arguments is not None else None,
        choices=told.get("choices") if payload else None,
        digest=approval.digest,
        requester=approval.requester,
        asked=told.get("people"),
        opened_at=iso(approval.opened_at) or "",
        due=iso(approval.due),
    )


def _text(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= MOST else line[: MOST - 1] + "…"
