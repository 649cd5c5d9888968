"""What stands open for a human, and an answer to it."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, model_validator

from .base import Asked, Json, Told

__all__ = ["AnswerIn", "ApprovalOut"]


class ApprovalOut(Told):
    """A question that waits for a human."""

    run: str
    tenant: str
    agent: str
    step: str = Field(examples=["refund"])
    question: str = Field(examples=["May `refund` be called?"])
    opened_at: datetime
    due: datetime | None
    """it is decided without an answer then"""
    tool: str | None
    """the tool that is to be called; null: it asks for no call"""
    digest: str | None
    """of exactly what is shown; an answer is for it, and counts for nothing else"""
    requester: str | None
    """who wants the call, and cannot approve it"""
    people: list[str] | None
    """who is asked; null: whoever may answer"""
    choices: list[str] | None
    withheld: bool = False
    """what is shown is not for whoever asks here"""
    asks: dict[str, Json] | None
    """all that is shown and goes with it: `arguments`, `show`, `form`, `about`, `signing`, `nonce`, ..."""


class AnswerIn(Asked):
    """An answer."""

    step: str = Field(min_length=1, max_length=1000)
    approved: bool
    reason: str | None = Field(default=None, max_length=4000)
    """why; whoever says no has to say it"""
    digest: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """of a call: that of the question as it was shown"""
    arguments: dict[str, Json] | None = None
    """with which the call is to be made instead"""
    value: Json = None
    """of a question: one of the choices, or what it asks for"""
    proof: str | dict[str, Json] | None = None
    """the author's signature, where answers are signed: `perdure.sign_answer`"""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if not self.approved and not (self.reason or "").strip():
            raise ValueError("whoever says no says why: `reason`")
        return self
