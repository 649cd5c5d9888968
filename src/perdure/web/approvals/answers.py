"""Answers to questions, as forms bring them: each is for the digest of what its page showed, and for nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import JSONResponse, Response

from ...access.passkeys import Ceremonies
from ...core.errors import (
    AnswerRefused,
    Forbidden,
    InvalidInput,
    PerdureError,
    RunConflict,
    UnknownRun,
    UnknownStep,
)
from ...journal import Approval
from ..sign_in import away
from ..visit import Visit

__all__ = [
    "MOST",
    "Answered",
    "answer",
    "answer_several",
    "confirmation",
    "open_question",
    "proof_in",
    "sign_in",
]

MOST = 20
"""Questions that are answered at once: more than that nobody has looked at."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one answer of several."""

    run: str
    step: str
    problem: str
    """empty: it was taken"""


async def open_question(visit: Visit, run: str, step: str) -> Approval:
    """The question that a step asks. Raises `UnknownRun`, and `UnknownStep` where it is not open (any more)."""
    ref = visit.app.ref(run, visit.tenant)
    if await visit.store.get(ref) is None:
        raise UnknownRun(f"there is no run `{ref.id}` in the tenant `{ref.tenant}`")
    for approval in await visit.store.approvals(ref=ref):
        if approval.step == step or not step:
            return approval
    raise UnknownStep(
        f"run `{run[:80]}` asks nothing at step `{step[:80]}` any more: it was answered, or has moved on"
    )


async def answer(visit: Visit) -> Response:
    """One answer: approve, approve with other arguments, reject, or what a question of the agent's own asks for."""
    run = visit.request.path_params["run"]
    asked, said = await _said(visit, run)
    await _send(
        visit,
        asked,
        digest=visit.given("digest") or None,
        approved=said.approved,
        reason=said.reason,
        arguments=said.arguments,
        value=None if not said.approved or asked.digest is not None else _value(visit, asked),
        proof=proof_in(visit.given("proof")),
    )
    return visit.to("/approvals", done="approved" if said.approved else "rejected", run=run)


async def confirmation(visit: Visit) -> Response:
    """What a browser asks a passkey for, so that the answer in the form counts: nothing is answered by it."""
    asked, said = await _said(visit, visit.request.path_params["run"])
    if asked.digest is None:
        raise InvalidInput("the answer to a question of the agent's own is not signed")
    if visit.given("digest") != asked.digest:
        raise AnswerRefused("what is asked has changed since the page was loaded: load it again, and look")
    told = await Ceremonies(visit.app).confirmation(
        asked,
        by=visit.by,
        approved=said.approved,
        reason=said.reason or None,
        arguments=said.arguments,
    )
    return JSONResponse(told)


async def sign_in(visit: Visit) -> Response:
    """To a provider, so that the answer in the form counts: a fresh sign-in there signs it, and sends it."""
    asked, said = await _said(visit, visit.request.path_params["run"])
    if asked.digest is None or visit.given("digest") != asked.digest:
        raise AnswerRefused("what is asked has changed since the page was loaded: load it again, and look")
    entrance = visit.shell.entrance
    if entrance is None:
        raise Forbidden("nobody signs in at this server")
    begun = await entrance.begin_answer(
        visit.request,
        visit.given("provider"),
        asked,
        by=visit.by,
        approved=said.approved,
        reason=said.reason or None,
        arguments=said.arguments,
    )
    return away(visit.shell, visit.request, begun)


@dataclass(frozen=True, slots=True)
class _Said:
    approved: bool
    reason: str
    arguments: dict[str, Any] | None


async def _said(visit: Visit, run: str) -> tuple[Approval, _Said]:
    asked = await open_question(visit, run, visit.given("step"))
    verdict, reason = visit.given("verdict"), visit.given("reason").replace("\r\n", "\n")
    if verdict not in ("approve", "edit", "reject"):
        raise InvalidInput("say whether you approve or reject it")
    if verdict == "reject" and not reason:
        raise InvalidInput("say why you reject it: the run, and whoever reads its journal, goes by it")
    arguments = _edited(visit, asked) if verdict == "edit" else None
    return asked, _Said(verdict != "reject", reason, arguments)


def proof_in(given: str) -> dict[str, Any] | None:
    """What a passkey has signed, as the page's script puts it into the form; None: nothing."""
    if not given:
        return None
    try:
        told: Any = json.loads(given)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InvalidInput("the passkey's proof cannot be read: load the page again")
    return cast("dict[str, Any]", told)


async def answer_several(visit: Visit) -> list[Answered]:
    """The same answer to several questions, each for its own digest. Only calls, and only those that were reviewed."""
    verdict, reason = visit.given("verdict"), visit.given("reason")
    keys = [key for key in visit.form.getlist("question") if isinstance(key, str)]
    if verdict not in ("approve", "reject"):
        raise InvalidInput("say whether you approve or reject them")
    if verdict == "reject" and not reason:
        raise InvalidInput("say why you reject them: the runs, and whoever reads their journals, go by it")
    if not 1 <= len(keys) <= MOST:
        raise InvalidInput(f"choose 1 to {MOST} questions: these are {len(keys)}")
    found: list[Answered] = []
    for key in keys:
        run, digest, step = parted(key)
        try:
            asked = await open_question(visit, run, step)
            if asked.digest is None:
                raise InvalidInput("it asks for more than yes or no: open it")
            await _send(visit, asked, digest=digest, approved=verdict == "approve", reason=reason)
            found.append(Answered(run, step, ""))
        except PerdureError as error:
            found.append(Answered(run, step, str(error)))
    return found


def parted(key: str) -> tuple[str, str, str]:
    """Run, digest and step. A run's id and a digest hold no blanks."""
    run, _, rest = key.partition(" ")
    digest, _, step = rest.partition(" ")
    if not run or not step:
        raise InvalidInput(f"`{key[:80]}` names no question")
    return run, digest, step


async def _send(
    visit: Visit,
    asked: Approval,
    *,
    digest: str | None,
    approved: bool,
    reason: str,
    arguments: dict[str, Any] | None = None,
    value: Any = None,
    proof: dict[str, Any] | None = None,
) -> None:
    if asked.digest is not None and digest is None:
        raise AnswerRefused("the form does not say what it showed: load the page again, and look")
    fresh = await visit.app.answer(
        asked.ref.id,
        asked.step,
        approved=approved,
        by=visit.by,
        reason=reason or None,
        digest=digest,
        arguments=arguments,
        value=value,
        proof=proof,
        tenant=visit.tenant,
    )
    if not fresh:
        raise RunConflict(
            f"question `{asked.step}` of run `{asked.ref.id}` was answered already; a worker has yet to take that up"
        )


def _edited(visit: Visit, asked: Approval) -> dict[str, Any]:
    """All arguments, with those that were changed in the form. Each is JSON, but a text that was a text before."""
    before = dict(asked.arguments or {})
    after = dict(before)
    for name, was in before.items():
        given = visit.form.get(f"argument {name}")
        if not isinstance(given, str):
            continue
        if isinstance(was, str):
            after[name] = given.replace("\r\n", "\n")
            continue
        try:
            after[name] = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"argument `{name}` is not JSON ({error}); text stands in quotes") from None
    if after == before:
        raise InvalidInput("nothing was changed: approve it as it is, or change an argument")
    return after


def _value(visit: Visit, asked: Approval) -> Any:
    """The answer to a question of the agent's own: one of its choices, a text, or JSON where its form asks for that."""
    given = visit.given("value")
    form: dict[str, Any] = asked.told.get("form") or {}
    if asked.told.get("choices") or form.get("type") == "string":
        return given
    if not given:
        return None
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        if form:
            raise InvalidInput("the answer is not JSON; text stands in quotes") from None
        return given
