"""Questions to humans, from outside of the runs that ask them: what stands open, and the answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ..core.approval_settings import ApprovalSettings
from ..core.errors import AnswerRefused, ConfigError, InvalidInput, UnknownStep
from ..core.json_form import misfits
from ..core.people import person
from ..governance.attention import counted
from ..governance.question_links import QuestionLinks
from ..journal import Approval, RunQuery, fingerprint
from ..runtime.approval.answering import held_until, why_not
from ..runtime.approval.proof import first_look
from ..runtime.replay.scope import running_in
from .steering import Steering

if TYPE_CHECKING:
    from ..governance.signatures import ApproverProof

__all__ = ["Approvals"]

MOST_CHILDREN = 200
"""Descendants of a run that are looked through for their questions."""


class Approvals(Steering):
    """The part of an app that shows and answers questions."""

    approval_settings = ApprovalSettings()
    """who may approve, and how often they are asked; the table `[approvals]` of `perdure.toml`"""

    _approver_proof: ApproverProof | None = None

    @property
    def approver_proof(self) -> ApproverProof | None:
        """What vouches for approvers who have no key here: `[approvals.issuers.NAME]`, or one of your own.

        Raises `ConfigError`.
        """
        if self._approver_proof is None and self.approval_settings.issuers:
            try:
                from ..identity.approver_tokens import ApproverTokens
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f'issuers of `[approvals]` need `{error.name}`: `pip install "perdure[identity]"`'
                ) from error
            try:
                self.approval_settings.stand_beside(self.identity_settings)
            except ValueError as error:
                raise ConfigError(str(error)) from None
            self._approver_proof = ApproverTokens(self.approval_settings.issuers)
        return self._approver_proof

    @approver_proof.setter
    def approver_proof(self, proof: ApproverProof | None) -> None:
        self._approver_proof = proof

    def question_links(self) -> QuestionLinks:
        """The links in notices, to the page of what is asked."""
        return QuestionLinks(
            self.store, url=self.access_settings.url, settings=lambda: self.approval_settings
        )

    async def open_approvals(self, run_id: str | None = None, *, tenant: str | None = None) -> list[Approval]:
        """Questions that stand open, the oldest first: of a run and of the runs below it, or of the tenant."""
        await self.open()
        if run_id is None:
            return await self.store.approvals(tenant=self.ref("any", tenant).tenant)
        found: list[Approval] = []
        below = deque([self.ref(run_id, tenant)])
        seen = 0
        while below and seen < MOST_CHILDREN:
            ref = below.popleft()
            seen += 1
            found += await self.store.approvals(ref=ref)
            query = RunQuery(tenant=ref.tenant, parent=ref.id, limit=MOST_CHILDREN)
            below += [record.ref for record in await self.store.find(query)]
        return sorted(found, key=lambda a: a.opened_at)

    async def answer(
        self,
        run_id: str,
        step: str,
        *,
        approved: bool,
        by: str,
        reason: str | None = None,
        value: Any = None,
        digest: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        proof: str | Mapping[str, Any] | None = None,
        tenant: str | None = None,
    ) -> bool:
        """Answer the question that `step` asks; False where somebody has, and the run has yet to take it up.

        A question about a call is answered for what was seen: `digest` is that of the open question as it was shown
        (`open_approvals`), and `arguments` are those with which the call is to be made instead. `proof` is the
        signature of `by` over all of that: `sign_answer` makes it; or a sign-in, as `token` and `iat`. Raises
        `UnknownStep` where the question does not stand open (any more), `AnswerRefused` where the answer cannot count,
        and `InvalidInput` where it does not fit.
        """
        await self.open()
        ref = self.ref(run_id, tenant)
        record = await self.store.get(ref)  # before the question: an answer is for no later generation's
        asked = next((a for a in await self.store.approvals(ref=ref) if a.step == step), None)
        if asked is None:
            raise UnknownStep(
                f"run `{ref}` has no open question at step `{step}`; `perdure approvals ls` shows those"
            )
        row = asked.told
        body: dict[str, Any] = {"approved": approved, "reason": reason, "value": value}
        generation = 1 if record is None else record.generation
        message_id = f"answer-{step}" if generation == 1 else f"answer~{generation}-{step}"
        asks_for_call = "digest" in row
        if asks_for_call:
            sender = running_in() or by
            body |= {"digest": digest, "arguments": None if arguments is None else dict(arguments)}
            if proof is not None:
                body["proof"] = proof if isinstance(proof, str) else dict(proof)
            await self._check(asked, row, body, sender)
            # One answer for what is open now, and whoever comes second is told so. After one that did not count,
            # another may come.
            message_id += f"~{digest[:16] if digest else ''}.{row['nonce'][-12:]}.{row['round']}"
        else:
            sender = by
            if digest is not None or arguments is not None or proof is not None:
                raise InvalidInput(
                    f"step `{step}` asks a question; it has no arguments that could be changed, and is not signed"
                )
            _check_value(row, approved, value)
            if row.get("round"):
                message_id += f"~{row['round']}"
        return await self.post(
            run_id, "answer", step, pydantic_core.to_json(body), message_id, sender, tenant
        )

    async def _check(self, asked: Approval, row: dict[str, Any], body: dict[str, Any], sender: str) -> None:
        """Tell whoever answers at once what the run would find; it looks again by itself."""
        where = f"the answer to `{asked.step}` of run `{asked.ref}` does not count"
        if problem := why_not(row, body, sender, self.approval_settings):
            raise AnswerRefused(f"{where}: {problem}")
        settings, vouching = self.approval_settings, self.approver_proof
        if problem := await first_look(row, body, sender, settings, self.store, vouching):
            raise AnswerRefused(f"{where}: {problem}")
        if body["approved"] and body["arguments"] is not None:
            wrong = misfits(row["form"], body["arguments"])
            if wrong:
                raise InvalidInput(
                    f"the edited arguments do not fit tool `{row['tool']}`: {'; '.join(wrong)}"
                )
        most = self.approval_settings.most_per_hour
        if most:
            ident: str = row["digest"]
            record = await self.store.get(asked.ref)
            if record is not None and record.subject is not None:  # as where it is asked
                key = await self.store.tenant_key(asked.ref.tenant, subject=record.subject)
                ident = fingerprint(key, b"counted\0" + ident.encode()).hex()
            found = await self.store.amend(counted(asked.ref.tenant, person(sender), "answered", ident, most))
            if found is not None:
                raise AnswerRefused(f"{where}: {held_until(sender, found)}")


def _check_value(row: dict[str, Any], approved: bool, value: Any) -> None:
    choices = cast("list[str] | None", row.get("choices"))
    if approved and choices is not None and value not in choices:
        raise InvalidInput(f"`{value}` is not one of the choices: {', '.join(choices)}")
    form: Any = row.get("form")
    if approved and form is not None:
        wrong = misfits(form, value)
        if wrong:
            raise InvalidInput(f"the answer does not fit what is asked for: {'; '.join(wrong)}")
