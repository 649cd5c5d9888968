"""LangGraph's `interrupt(...)` as a question to a human, and the human's answer as what the node is resumed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..runtime.waits import Answer

__all__ = ["Question", "answer_of", "questions_of"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a human is asked."""

    text: str
    show: Any
    choices: list[str] | None = None


def questions_of(value: Any) -> list[Question]:
    """The questions in what was given to `interrupt`: one, or one a call where LangChain's middleware asks."""
    calls = _calls(value)
    if calls is not None:
        return [
            Question(str(call.get("description") or f"May `{call['name']}` be called?"), _shown(call))
            for call in calls
        ]
    if isinstance(value, str):
        return [Question(value, None)]
    if isinstance(value, Mapping):
        told = cast("Mapping[str, Any]", value)
        for name in ("question", "message", "task", "text"):
            if isinstance(told.get(name), str):
                return [Question(told[name], value)]
    return [Question("The agent asks", value)]


def answer_of(value: Any, answers: Sequence[Answer]) -> Any:
    """What `interrupt` returns.

    For LangChain's middleware a decision a call: `approve`; `edit`, where the answer carries other arguments; `reject`
    with the reason. Else what the answer says, or true or false where it only approves or rejects.
    """
    calls = _calls(value)
    if calls is None:
        answer = answers[0]
        return answer.approved if answer.value is None else answer.value
    decisions = [_decision(call, answer) for call, answer in zip(calls, answers, strict=True)]
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


def _decision(call: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    said: Any = answer.value
    if isinstance(said, Mapping) and "type" in said:  # as the middleware would have it
        return dict(cast("Mapping[str, Any]", said))
    if not answer.approved:
        reason = answer.reason or (said if isinstance(said, str) else None)
        return {"type": "reject", "message": reason} if reason else {"type": "reject"}
    if isinstance(said, Mapping):
        edited = cast("Mapping[str, Any]", said)
        return {"type": "edit", "edited_action": {"name": call["name"], "args": dict(edited)}}
    return {"type": "approve"}
