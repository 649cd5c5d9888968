"""The table `[approvals]` of `perdure.toml`: who approves what agents want to do, and how often they may be asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ApprovalSettings"]


class ApprovalSettings(BaseModel):
    """What holds for all approvals of a project. Durations are seconds, or ISO 8601 (`PT4H`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    self_approval: bool = False
    """whether a person may approve what runs do that the same person has started: for one who works alone. An agent
    never may"""
    most_per_hour: int = Field(default=60, ge=0)
    """requests to one person, and answers of one person, within an hour; what is more is held back. 0: no limit"""
    within: timedelta = Field(default=timedelta(days=3), gt=timedelta())
    """until when an approver must have answered, where the tool says no other"""
    notify: tuple[str, ...] = ()
    """contacts that hear of approvals which are addressed to nobody in particular"""
    groups: dict[str, tuple[str, ...]] = {}
    """people, by the name of their group"""
    people: dict[str, str] = {}
    """the contact by which each person is told, by the person's name"""

    @model_validator(mode="after")
    def _groups_have_people(self) -> Self:
        for name, members in self.groups.items():
            if not members:
                raise ValueError(f"group `{name}` has no people: nobody could answer what is asked of it")
        return self

    def people_of(self, names: tuple[str, ...]) -> list[str]:
        """The people behind names of groups and of people, each once, in this order."""
        found: dict[str, None] = {}
        for name in names:
            found.update(dict.fromkeys(self.groups.get(name, (name,))))
        return list(found)

    def contacts_of(self, people: list[str] | None) -> list[str]:
        """How those are told; None: addressed to nobody in particular."""
        if people is None:
            return list(self.notify)
        return list(dict.fromkeys(self.people[person] for person in people if person in self.people))
