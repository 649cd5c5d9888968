"""Policies at recall: of which labels, from which layer and agent, may this run read?

They are asked where one of them names `Action::"memory_recall"`, once for all items of the same labels and agent, and
whatever goes wrong in asking is a no. What is forbidden is left out; the run goes on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pydantic_core

from ...core.ids import RunRef
from ...governance.policy import Decision
from ...governance.policy.remembering import RECALL, RECALL_FORM
from ...memory import LeftOut, Origin
from ..boundary.call import Call
from ..boundary.tool import Tool
from ..replay.recorder import Recorder
from ..replay.scope import current_scope

__all__ = ["forbidden"]


async def forbidden(
    recorder: Recorder, layer: str, origins: Iterable[Origin], *, key: str
) -> Mapping[Origin, LeftOut]:
    """Those of the writes whose items this run may not recall, with the reason."""
    guard = recorder.boundary.guard
    if guard is None or not guard.judges_recalls():
        return {}
    agents: dict[str, str] = {}
    answers: dict[tuple[tuple[str, ...], str], LeftOut | None] = {}
    found: dict[Origin, LeftOut] = {}
    for origin in sorted(origins, key=lambda o: (o.run, o.step)):
        if origin.run not in agents:
            record = await recorder.store.get(RunRef(recorder.ref.tenant, origin.run))
            agents[origin.run] = "" if record is None else record.agent
        about = tuple(sorted(origin.labels)), agents[origin.run]
        if about not in answers:
            arguments = {"layer": layer, "labels": list(about[0]), "agent": about[1]}
            answers[about] = _answer(recorder, arguments, key)
        if (answer := answers[about]) is not None:
            found[origin] = answer
    return found


def _answer(recorder: Recorder, arguments: dict[str, Any], key: str) -> LeftOut | None:
    """Why not; None: it may."""
    guard = recorder.boundary.guard
    assert guard is not None
    call = Call(
        recorder=recorder,
        scope=current_scope(recorder),
        key=key,
        mark=b"",
        kind="step",
        name=RECALL,
        arguments=arguments,
        data=pydantic_core.to_json(arguments),
    )
    verdict = guard.recalled(call, _TOOL)
    if verdict.decision == Decision.ALLOW:
        return None
    return LeftOut(items=1, why=verdict.why, policies=tuple(verdict.policies))


async def _never(layer: str, labels: list[str], agent: str) -> None:
    """What policies are asked about is no call: nobody makes it."""


_TOOL: Tool[..., Any] = Tool(_never, name=RECALL, effect="read", form=dict(RECALL_FORM.arguments))
