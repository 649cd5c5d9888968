"""The table `[policies]` of `perdure.toml`: where policies are, which candidate runs beside them, who changes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from .approval_settings import ApprovalSettings
from .people import is_agent, person

__all__ = ["PolicySettings"]


class PolicySettings(BaseModel):
    """What holds for the policies of a project; `policies = "FOLDER"` says the folder alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path | None = None
    """what agents may do; without it `policies` beside the file, where there is one"""
    shadow: Path | None = None
    """a candidate that is asked beside them, and decides nothing: where it differs stands in the journal"""
    editors: tuple[str, ...] = ()
    """people, or groups of `[approvals]`, whose signature changes policies; without any: whoever has a key there"""
    signatures: Literal["required", "optional"] | None = None
    """whether a change counts only with a signature; None: as soon as there are `editors`"""

    @model_validator(mode="before")
    @classmethod
    def _as_folder(cls, given: Any) -> Any:
        return {"folder": os.fspath(given)} if isinstance(given, str | Path) else given

    @model_validator(mode="after")
    def _editors_are_people(self) -> Self:
        for name in self.editors:
            if is_agent(name):
                raise ValueError(f"`{name}` is an agent, and agents change no policies")
        return self

    @property
    def required(self) -> bool:
        """Whether a change counts only with a signature."""
        return self.signatures == "required" or (self.signatures is None and bool(self.editors))

    def may_change(self, name: str, approvals: ApprovalSettings) -> bool:
        """Whether that person's signature changes policies."""
        if is_agent(name):
            return False
        if not self.editors:
            return True
        return person(name) in {person(one) for one in approvals.people_of(self.editors)}
