"""Writes in doubt, from outside of the runs that made them: which there are, and what somebody says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic_core

from ..core.errors import AnswerRefused, UnknownStep
from ..runtime.boundary.settling import DoubtfulWrite, problem_of_word, standing_doubts
from ..runtime.replay.scope import running_in
from .approvals import Approvals

__all__ = ["Settlements"]


class Settlements(Approvals):
    """The part of `App` that settles what nobody knows."""

    async def doubts(self, run_id: str, *, tenant: str | None = None) -> list[DoubtfulWrite]:
        """The writes of a run that wait for somebody to say whether they happened."""
        await self.open()
        ref = self.ref(run_id, tenant)
        record = await self.store.get(ref)
        entries = await self.store.read(ref, after=record.base - 1 if record else 0)
        return list(standing_doubts(ref, entries).values())

    async def settle(
        self,
        run_id: str,
        step: str,
        *,
        happened: bool,
        result: Any = None,
        by: str = "operator",
        proof: str | Mapping[str, Any] | None = None,
        tenant: str | None = None,
    ) -> bool:
        """Say whether a write in doubt happened, and with what result.

        `proof` is the signature of `by` over that, where answers are signed: `sign_settlement` makes it. Raises
        `UnknownStep` where that step does not wait to be settled, and `AnswerRefused` where it cannot count.
        """
        standing = {doubt.step: doubt for doubt in await self.doubts(run_id, tenant=tenant)}
        ref = self.ref(run_id, tenant)
        sender = running_in() or by
        body: dict[str, Any] = {"happened": happened, "result": result}
        if proof is not None:
            body["proof"] = proof if isinstance(proof, str) else dict(proof)
        doubt = standing.get(step)
        if doubt is None and await self.store.get(ref) is not None:
            known = ", ".join(f"`{key}`" for key in standing) or "none"
            raise UnknownStep(f"run `{ref}`: step `{step}` is not in doubt (in doubt: {known})")
        if doubt is not None:
            settings = self.approval_settings
            now, vouching = self.store.now(), self.approver_proof
            problem, _ = await problem_of_word(
                doubt, body, sender, settings, self.store, at=now, vouching=vouching
            )
            if not problem and doubt.signing == "required" and proof is None:
                problem = "it is not signed: `perdure runs settle --sign-with KEYFILE` signs it"
            if problem:
                raise AnswerRefused(f"what is said of `{step}` of run `{ref}` does not count: {problem}")
        return await self.post(run_id, "settle", step, pydantic_core.to_json(body), None, sender, tenant)
