"""The messages of a run that no step has received yet, and whom they are for."""

from __future__ import annotations

from typing import Any

import pydantic_core

from ...journal import Entry
from .history import History
from .turns import Turns

__all__ = ["Mail"]

_ANSWERED_BY: dict[str, tuple[str, ...]] = {
    "signal": ("signal",),
    "approval": ("answer",),
    "child": ("child",),
    "in_doubt": ("settle", "late"),
    "needs_connection": ("connected",),
}


class Mail(Turns):
    """The mailbox. Between `Turns`, which parks branches, and `Recorder`, which journals what comes."""

    def __init__(self, history: History, generation: int) -> None:
        super().__init__(history)
        self.started = history.started
        self.generation = generation
        self.mailbox: list[Entry] = [m for m in history.messages if m.seq not in history.taken]
        """messages that no step has received yet"""

    def give_back(self, message: Entry) -> None:
        """First in the mailbox again."""
        self.mailbox.insert(0, message)

    def match_mail(self) -> None:
        """Give messages to the waits that they are for, first come first served."""
        for wait in list(self.waits.values()):
            message = self.mail_for(wait.reason, wait.name)
            if message is not None:
                self.resolve(wait, message)

    def mail_for(self, reason: str, name: str) -> Entry | None:
        """Take the oldest message for such a wait out of the mailbox."""
        kinds = _ANSWERED_BY.get(reason, ())
        for i, entry in enumerate(self.mailbox):
            message = pydantic_core.from_json(entry.payload)
            if message["kind"] in kinds and message["name"] == name and not self._of_before(message):
                del self.mailbox[i]
                return entry
        return None

    def _of_before(self, message: dict[str, Any]) -> bool:
        """Whether it was meant for a step of an earlier generation, that may have had the same key."""
        if self.generation == 1:
            return False
        if message["kind"] == "late":
            return int(message["id"].split("-", 2)[1]) <= self.started.epoch
        return message["kind"] == "answer" and not message["id"].startswith(f"answer~{self.generation}-")
