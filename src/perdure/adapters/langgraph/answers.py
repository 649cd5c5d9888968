"""LangGraph's `interrupt(...)` as a question to a human, and the human's answer as what the node is resumed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...runtime.frameworks.questions import Question, question_of, said
from ...runtime.waits import Answer

__all__ = ["answer_of", "leave_for", "questions_of"]


def leave_for(value: Any) -> list[tuple[str, Any]] | None:
    """The calls, by name and arguments, for which LangChain's middleware asks a human for leave.

    It is told yes: the call itself is asked for, at the boundary, where one approval serves both and may carry edited
    arguments. None: it is a question of another kind, also where a human is to answer in the tool's place.
    """
    calls = _calls(value)
    if calls is None or not all("approve" in _allowed(value, call) for call in calls):
        return None
    return [(call["name"], call.get("args", {})) for call in calls]


def _allowed(value: Any, call: Mapping[str, Any]) -> Sequence[str]:
    if _is_one(value):
        return ("approve",)
    reviews: list[Mapping[str, Any]] = value["review_configs"]
    return next((r["allowed_decisions"] for r in reviews if r["action_name"] == call["name"]), ("approve",))


def questions_of(value: Any) -> list[Question]:
    """The questions in what was given to `interrupt`: one, or one a call where LangChain's middleware asks."""
    calls = _calls(value)
    if calls is not None:
        return [
            Question(str(call.get("description") or f"What does `{call['name']}` give?"), _shown(call))
            for call in calls
        ]
    return [question_of(value)]


def answer_of(value: Any, answers: Sequence[Answer] | None) -> Any:
    """What `interrupt` returns: what the answer says, or true or false where it only approves or rejects.

    For LangChain's middleware a decision a call: `approve`, where there are no answers (`leave_for`); else `respond`
    with what the human says, or `reject` with the reason.
    """
    calls = _calls(value)
    if calls is None:
        assert answers is not None
        return said(answers[0])
    if answers is None:
        decisions: list[dict[str, Any]] = [{"type": "approve"} for _ in calls]
    else:
        decisions = [_decision(answer) for answer in answers]
    return decisions[0] if _is_one(value) else {"decisions": decisions}


def _calls(value: Any) -> list[Mapping[str, Any]] | None:
    if not isinstance(value, Mapping):
        return None
    told = cast("Mapping[str, Any]", value)
    if _is_one(told):
        return [told]
    requests: Any = told.get("action_requests")
    if not isinstance(requests, list) or "review_configs" not in told:
        return None
    return cast("list[Mapping[str, Any]]", requests)


def _is_one(value: Mapping[str, Any]) -> bool:
    return value.get("type") == "tool_approval" and "name" in value


def _shown(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"tool": call["name"], "arguments": call.get("args", {})}


def _decision(answer: Answer) -> dict[str, Any]:
    value: Any = answer.value
    if isinstance(value, Mapping) and "type" in value:  # as the middleware would have it
        return dict(cast("Mapping[str, Any]", value))
    text = value if isinstance(value, str) else answer.reason
    if answer.approved:
        return {"type": "respond", "message": text or "yes"}
    return {"type": "reject", "message": text} if text else {"type": "reject"}
