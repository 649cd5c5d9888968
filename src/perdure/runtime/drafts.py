"""Drafts: calls that an agent proposed and may not carry out by itself, each in a run that waits for a person.

    run of an agent ─► call in ring `draft` ─► run of the same agent, for this one call ─► approval ─► call

The run of a draft outlives the one that wanted the call. Its call crosses the boundary as any of the agent's: the same
policies, budgets and credentials, on behalf of the same user; and it is a person who lets it go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.delegation import Handed
from ..core.errors import ConfigError, RunConflict, StoreError
from ..core.ids import RunRef
from ..governance.policy.stated import Stated
from .replay.control import Unwind

if TYPE_CHECKING:
    from .agent import Agent
    from .boundary.call import Call
    from .replay.recorder import Recorder

__all__ = ["LABEL", "Draft", "carrying_out", "draft_of", "keep_draft"]

LABEL = "draft_of"
"""Of the run of a draft: the run that wanted the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A call that was proposed."""

    tool: str
    run: str
    """that wanted it"""
    step: str
    why: str
    """it was not carried out"""
    untrusted: Sequence[str] = ()
    """arguments with values that only untrusted sources held, where it was proposed"""
    unvouched: Sequence[str] = ()
    origins: Sequence[Mapping[str, Any]] = ()
    """where its arguments came from, for whoever approves it"""
    stated: Mapping[str, Any] | None = None
    """how sure the model said that it was"""

    @property
    def released(self) -> str:
        """Why a person is asked."""
        return f"it is a draft: step `{self.step}` of run `{self.run}` was not carried out, as {self.why}"

    def said(self) -> Stated | None:
        """How sure the model was, as policies see it."""
        return None if self.stated is None else Stated.recorded(self.stated)

    def id(self, recorder: Recorder) -> str:
        """The run that carries it out: the same in every replay."""
        from .waits import child_id

        return child_id(recorder.ref.id, f"draft {self.step}", recorder.generation)


def draft_of(started: Mapping[str, Any]) -> Draft | None:
    """The draft for which a run was started."""
    told: Mapping[str, Any] | None = started.get("draft")
    return None if told is None else Draft(**told)


async def keep_draft(call: Call, agent: Agent, draft: Draft) -> None:
    """Start the run that waits for a person. Done twice it is there once."""
    from .start import new_run

    recorder = call.recorder
    await recorder.barrier()
    new = new_run(
        RunRef(recorder.ref.tenant, draft.id(recorder)),
        agent,
        call.data if recorder.secrets is None else recorder.secrets.payload(call.data),
        key=recorder.key,
        at=recorder.store.now(),
        actor=recorder.actor,
        labels={LABEL: recorder.ref.id},
        parent=recorder.ref.id,
        by=recorder.principal,
        on_behalf_of=recorder.on_behalf_of,
        chain=[Handed(agent.name, recorder.ref.id), *recorder.chain],
        subject=recorder.subject,
        heard=None if recorder.heard is None else recorder.heard.handed_on(),
        draft=asdict(draft),
        trace=recorder.boundary.traced(call.key),
    )
    try:
        record, fresh = await recorder.store.create(new)
    except RunConflict:
        raise
    except StoreError as error:
        recorder.fail(error)
        raise Unwind from error
    if not fresh and record.parent != recorder.ref.id:
        raise RunConflict(f"run `{new.ref}` exists already and is no draft of `{recorder.ref}`")


def carrying_out(agent: Agent, draft: Draft) -> Agent:
    """The agent as it runs for a draft: it makes the one call, once a person lets it."""

    async def carry_out(run: Any, arguments: Any) -> Any:
        from .approval.answering import edited_arguments

        tool = agent.tools.get(draft.tool)
        if tool is None:
            raise ConfigError(
                f"a draft of run `{draft.run}` calls `{draft.tool}`, and no such tool is registered any more"
            )
        return await run.call(tool, **edited_arguments(tool, arguments)[0])

    return replace(agent, function=carry_out, tasks={}, check=None, repair=None, on_failure={})
