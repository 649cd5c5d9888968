"""What stands open for a person, and their answer."""

from __future__ import annotations

from mcp_types import InputRequiredResult
from pydantic import BaseModel, Field

from ...access import Role
from ...access.viewings import Viewings
from ...client.models import RunId
from ...core.errors import UnknownStep
from ..asking import Asking
from ..questions import put, record_answer
from ..shapes import QuestionTold, question_told
from ..tool import Given, tool

__all__ = ["APPROVALS"]


class Listing(Given):
    """Whose questions."""

    run: RunId | None = Field(default=None, description="Only those of this run and the runs below it")
    limit: int = Field(default=20, ge=1, le=100)


class QuestionsTold(BaseModel):
    """Questions, the oldest first."""

    questions: list[QuestionTold]
    more: int = Field(default=0, description="How many more there are")


@tool(title="List open questions", role=Role.VIEWER)
async def list_questions(asked: Listing, asking: Asking) -> QuestionsTold:
    """List what agents ask people now, and wait for: calls to be approved, and questions of their own."""
    app, caller = asking.app, asking.caller
    if asked.run is not None:
        await asking.record(asked.run)
    found = await app.open_approvals(asked.run, tenant=caller.tenant)
    page = found[: asked.limit]
    await Viewings(app).saw(caller, "question", *((one.ref, one.step) for one in page))
    told = [question_told(one, payload=caller.sees_payloads) for one in page]
    return QuestionsTold(questions=told, more=len(found) - len(page))


class Answering(Given):
    """Which question."""

    run: RunId
    step: str = Field(max_length=1000, description="As `list_questions` gives it")


class AnswerTaken(BaseModel):
    """What became of it."""

    answered: bool
    said: str


@tool(title="Put a question before your person", role=Role.APPROVER, writes="destructive")
async def answer_question(asked: Answering, asking: Asking) -> AnswerTaken | InputRequiredResult:
    """Put one open question before the person you work for, who answers it in a form that their client shows.

    You cannot answer it yourself, nor say what the answer is to be. Use it when they want to see or answer a question.
    """
    await asking.record(asked.run)
    found = await asking.app.open_approvals(asked.run, tenant=asking.caller.tenant)
    approval = next((one for one in found if one.ref.id == asked.run and one.step == asked.step), None)
    if approval is None:
        raise UnknownStep(
            f"run `{asked.run}` has no open question at step `{asked.step}`; `list_questions` names those"
        )
    said = await put(asking, approval)
    if isinstance(said, InputRequiredResult):
        return said
    if said is None:
        return AnswerTaken(answered=False, said="the person did not answer; the question stands open")
    fresh = await record_answer(asking, approval, said)
    words = "approved" if said.approved else "denied"
    return AnswerTaken(answered=fresh, said=words if fresh else "somebody has answered it already")


APPROVALS = (list_questions, answer_question)
