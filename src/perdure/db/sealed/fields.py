"""What stands of a run outside of its journal: reasons, progress, open questions, messages. Sealed like the journal.

What cannot be opened any more, or not here, is named as that and never guessed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import StoreCorrupt
from ...core.ids import RunRef
from ...journal import Approval, Change, Message, RunRecord, WaitReason
from .marks import TEXT_MARK

if TYPE_CHECKING:
    from .form import SubjectKey

__all__ = [
    "UNREADABLE",
    "has_sealed",
    "message_context",
    "opened_approval",
    "opened_message",
    "opened_record",
    "sealed_change",
]

UNREADABLE = "(sealed)"
"""Stands where a text was, for whoever has no key."""

_PLAIN_REASONS = frozenset(WaitReason)


def has_sealed(record: RunRecord) -> bool:
    """Whether anything of a record is sealed."""
    return (record.progress or "").startswith(TEXT_MARK) or any(
        r.startswith(TEXT_MARK) for r in record.reasons
    )


def opened_record(record: RunRecord, key: SubjectKey | None) -> RunRecord:
    """The record as it was written."""
    if not has_sealed(record):
        return record
    reasons = tuple(_open_text(r, key, f"reason|{record.ref.id}") or UNREADABLE for r in record.reasons)
    progress = (
        None if record.progress is None else _open_text(record.progress, key, f"progress|{record.ref.id}")
    )
    return replace(record, reasons=reasons, progress=progress)


def sealed_change(change: Change, key: SubjectKey, ref: RunRef) -> Change:
    """The change as it is stored. What a run waits for is left plain, so that it can be looked for."""
    if not (change.reasons or change.progress or change.opened):
        return change
    return replace(
        change,
        reasons=tuple(
            r if r in _PLAIN_REASONS else key.seal_text(r, f"reason|{ref.id}") for r in change.reasons
        ),
        progress=None if change.progress is None else key.seal_text(change.progress, f"progress|{ref.id}"),
        opened=[
            replace(
                a,
                question=key.seal_text(a.question, f"question|{ref.id}|{a.step}"),
                show=key.seal_bytes(a.show, f"show|{ref.id}|{a.step}"),
            )
            for a in change.opened
        ],
    )


def opened_approval(approval: Approval, key: SubjectKey | None) -> Approval:
    """The question as it was asked."""
    where = f"{approval.ref.id}|{approval.step}"
    show = None if key is None else key.open_bytes(approval.show, f"show|{where}")
    question = _open_text(approval.question, key, f"question|{where}")
    return replace(
        approval, question=question or UNREADABLE, show=b'{"sealed":true}' if show is None else show
    )


def opened_message(message: Message, key: SubjectKey | None, ref: RunRef) -> Message:
    """The message as it was sent; without a key one that says nothing. Raises `StoreCorrupt` where it was changed."""
    if key is None:
        return replace(message, body=b"null")
    body = key.open_bytes(message.body, message_context(ref, message.id))
    if body is None:
        raise StoreCorrupt(
            f"run `{ref}`: message `{message.id}` is not what was sent; restore the store from a backup"
        )
    return replace(message, body=body)


def message_context(ref: RunRef, id: str) -> str:
    """What a message's body is bound to: its run, and its place among the run's messages."""
    return f"message|{ref.id}|{id}"


def _open_text(text: str, key: SubjectKey | None, context: str) -> str | None:
    if key is not None:
        return key.open_text(text, context)
    return None if text.startswith(TEXT_MARK) else text
