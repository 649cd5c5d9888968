"""One open question as its page shows it: each argument with where it came from and what it was the last time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from ...core.approval_settings import ApprovalSettings
from ...core.lookalikes import strings_in, suspicious
from ...journal import Approval
from ...runtime.approval.answering import why_not
from ...views.story import as_list, as_object

__all__ = ["Argument", "Asked"]

ABSENT: Any = object()

LATE_SOON = 3_600_000_000
"""Microseconds before the deadline from which it is shown as near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of the call that is to be approved."""

    name: str
    value: Any
    odd: list[str]
    """what is odd about its text"""
    sources: list[str] | None
    """where its values come from; None: nobody looked; empty: nowhere that is known"""
    trust: str | None
    changed: bool
    """it is another one than in the last similar call"""
    was: Any
    had: bool
    """the last similar call had it at all"""
    editable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An open question."""

    approval: Approval
    about_call: bool
    """it asks whether a call may be made; else it is a question of the agent's own"""
    digest: str | None
    """what an answer is bound to"""
    arguments: list[Argument]
    gone: list[tuple[str, Any]]
    """what the last similar call had, and this one has not"""
    odd: list[str]
    why: dict[str, Any]
    """what the agent says: reason, confidence, unknowns"""
    policy: dict[str, Any]
    """by which policy somebody is asked: sentence, role, quorum"""
    note: str | None
    done: list[dict[str, Any]]
    earlier: list[dict[str, Any]]
    cost: str | None
    people: list[str] | None
    signed: bool
    """the answer counts only with its author's signature"""
    hindrance: str
    """why this person's answer would not count; empty: it would"""
    near: bool
    late: bool

    @classmethod
    def of(cls, approval: Approval, *, by: str, settings: ApprovalSettings, now: int) -> Self:
        """For one person, who may or may not answer it."""
        row = approval.told
        about = as_object(row.get("about"))
        call = row.get("digest") is not None
        given = as_object(row.get("arguments")) if call else {}
        changed, earlier = as_object(about.get("changed")), as_list(about.get("earlier"))
        policy = as_object(about.get("policy"))
        hindrance = ""
        if call:
            hindrance = why_not(row, {"digest": row["digest"], "approved": True}, by, settings)
        return cls(
            approval=approval,
            about_call=call,
            digest=row.get("digest"),
            arguments=[_argument(n, v, row, policy, changed, bool(earlier)) for n, v in given.items()],
            gone=[(n, as_object(was).get("was")) for n, was in changed.items() if n not in given],
            odd=suspicious(_texts(approval, row)),
            why={"reason": None, "confidence": None, "unknowns": None, **as_object(about.get("why"))},
            policy={"why": None, "policies": [], "role": None, "quorum": 1, **policy},
            note=about.get("note"),
            done=[as_object(one) for one in as_list(about.get("done"))],
            earlier=[as_object(one) for one in earlier],
            cost=about.get("cost"),
            people=row.get("people"),
            signed=row.get("signing") == "required",
            hindrance=hindrance,
            near=approval.due is not None and approval.due - now < LATE_SOON,
            late=approval.due is not None and approval.due < now,
        )

    @property
    def key(self) -> str:
        """Names it among all open questions, with what was shown: what a form of several sends back."""
        return f"{self.approval.ref.id} {self.digest or ''} {self.approval.step}"

    @property
    def plain(self) -> bool:
        """Whether it can be answered with others at once: a call, nothing odd about it, no signature needed."""
        return self.about_call and not self.odd and not self.signed and not self.hindrance

    @property
    def choices(self) -> list[str]:
        """Of a question of the agent's own: what may be answered; empty: anything."""
        return [str(one) for one in self.approval.told.get("choices") or ()]

    @property
    def form(self) -> Any:
        """JSON schema of the answer, of a question of the agent's own that asks for more than yes or no."""
        return None if self.about_call else self.approval.told.get("form")

    @property
    def shown(self) -> Any:
        """What a question of the agent's own shows."""
        return None if self.about_call else self.approval.told.get("show")


def _argument(
    name: str, value: Any, row: dict[str, Any], policy: dict[str, Any], changed: dict[str, Any], had: bool
) -> Argument:
    looked = policy.get("origins")
    origins = [
        o for o in map(as_object, looked or ()) if str(o.get("argument", "")).partition(".")[0] == name
    ]
    sources = [str(source) for o in origins for source in o.get("from") or ()]
    editable = row.get("editable")
    was = as_object(changed.get(name))
    return Argument(
        name=name,
        value=value,
        odd=suspicious(f"{name} {value if isinstance(value, str) else strings_in(value)}"),
        sources=list(dict.fromkeys(sources)) if origins else None,
        trust=_worst([str(o.get("trust")) for o in origins]) if origins else None,
        changed=name in changed,
        was=was.get("was"),
        had=had and not (name in changed and was.get("was") is None),
        editable=editable is True or (isinstance(editable, list) and name in editable),
    )


def _worst(trusts: list[str]) -> str:
    """Of several values of one argument the one that is trusted least."""
    order = ("untrusted", "unknown", "trusted", "vouched")
    return min(trusts, key=lambda word: order.index(word) if word in order else -1)


def _texts(approval: Approval, row: dict[str, Any]) -> str:
    choices = " ".join(str(one) for one in row.get("choices") or ())
    return f"{approval.question} {strings_in(row.get('show'))} {choices}"
