"""The end of a run whose result a model has answered, before the policies: where one names `Action::"final answer"`.

    the function has returned, its check has passed ─► policy ─┬─ allow ─────────► succeeded
                                                               ├─ needs approval ─► somebody sees the result: yes,
                                                               │                    or with another ─► succeeded
                                                               └─ no ────────────► escalated, with the result

It is a call like any other, of a tool that gives back what it was given: asked, approved and recorded at the boundary,
under the key `final answer`. The model states with its answer how sure it is; what it does not say counts as 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pydantic_core
from pydantic import ValidationError

from ...core.codec import arguments_bytes
from ...core.errors import ApprovalDenied, PolicyDenied
from ...governance.policy.schema import ANSWER, ANSWER_FORM
from ...journal import RunStatus
from ..agent import Agent
from ..boundary import effects
from ..boundary.tool import Tool
from ..replay.recorder import Recorder
from ..replay.scope import set_scope
from .checking import inner_scope
from .conclusion import Conclusion

__all__ = ["judged_answer"]


async def judged_answer(recorder: Recorder, agent: Agent, found: Conclusion) -> Conclusion:
    """How the run ends, which would have succeeded. Raises what the boundary raises but a no."""
    guard, heard = recorder.boundary.guard, recorder.heard
    if guard is None or heard is None or heard.answer is None or found.status is not RunStatus.SUCCEEDED:
        return found
    if not guard.judges_answers():
        return found
    stated, scope = heard.answer, inner_scope(recorder, "answer")
    if recorder.unconsumed:  # what was recorded before comes first: else a deploy brought a fault
        recorder.check_frontier(recorder.root)
    key = scope.enter(ANSWER)
    heard.states(key, stated)
    result = pydantic_core.from_json(found.result or b"null")
    set_scope(scope)
    try:
        given = await effects.perform(
            recorder, scope, key, _tool(), (), {"result": result}, retried_in=scope.path
        )
        return replace(found, result=_fitting(agent, given))
    except (PolicyDenied, ApprovalDenied, ValidationError) as refused:
        said = (
            str(refused)
            if not isinstance(refused, ValidationError)
            else "what was put in its place does not fit"
        )
        why = said.replace(f"`{ANSWER}` was not called", "its answer was not accepted")
        seen = {"result": result, **stated.told()}
        return replace(found, status=RunStatus.ESCALATED, why=why, context=seen, to=agent.escalate_to)
    finally:
        scope.busy = ""
        set_scope(recorder.root)
        recorder.open_scopes.discard(scope.path)


def _tool() -> Tool[..., Any]:
    async def final_answer(result: Any = None) -> Any:
        return result

    return Tool(final_answer, name=ANSWER, effect="read", form=dict(ANSWER_FORM.arguments))


def _fitting(agent: Agent, given: Any) -> bytes:
    """JSON of the result, as the agent's own type has it."""
    return agent.output.round_trip(agent.output.load(arguments_bytes(given)[1:-1]))[0]
