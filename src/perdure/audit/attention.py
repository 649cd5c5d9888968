"""What an auditor should look at first, and who had a hand in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .deeds import Deeds
from .fact import Deed, Enquiry
from .wording import flagged

if TYPE_CHECKING:
    from .bundle import RunTold

__all__ = ["Attention", "Note", "People"]

MOST = 300


@dataclass(frozen=True, slots=True)
class Note:
    """Something to look at."""

    run: RunTold
    step: str
    tone: str
    text: str


class Attention:
    """Collects what is out of the ordinary. It judges nothing: each line says what is so, and where."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.more = 0

    def see(self, run: RunTold, deeds: Deeds) -> None:
        """One run."""
        if run.broken is not None:
            self._note(run, "", "bad", f"The chain of its journal does not hold: {run.broken}")
        if run.erased:
            self._note(
                run,
                "",
                "plain",
                f"{run.erased} of its {run.facts} entries are erased; the chain holds without them",
            )
        for deed in deeds.done:
            self._deed(run, deed)
        for asked in deeds.enquiries:
            self._enquiry(run, asked)

    def _deed(self, run: RunTold, deed: Deed) -> None:
        if deed.outcome == "in doubt":
            self._note(
                run,
                deed.step,
                "warn",
                f"Nobody knows whether {deed.tool} happened; it waits for somebody to settle it",
            )
        elif deed.settled_by is not None:
            self._note(
                run,
                deed.step,
                "warn",
                f"Whether {deed.tool} had happened was not known; settled by {deed.settled_by}",
            )
        elif deed.outcome == "denied":
            self._note(run, deed.step, "plain", f"{deed.tool} was wanted, and not let through")
        for odd in flagged(deed.arguments):
            self._note(run, deed.step, "bad", f"The arguments of {deed.tool} have {odd}")

    def _enquiry(self, run: RunTold, asked: Enquiry) -> None:
        what = asked.tool or "a question"
        if asked.digest_fits is False:
            self._note(
                run,
                asked.step,
                "bad",
                f"The digest of what was shown for {what} is not that of what is recorded",
            )
        if asked.decision == "approved" and asked.by is None:
            self._note(run, asked.step, "warn", f"{what} was let through because nobody answered in time")
        if asked.edited is not None:
            self._note(
                run,
                asked.step,
                "plain",
                f"{asked.by} approved {what} with other arguments than were asked for",
            )
        if asked.signed is False:
            self._note(run, asked.step, "plain", f"The answer of {asked.by} to {what} is not signed")
        for refused in asked.refused:
            self._note(
                run,
                asked.step,
                "warn",
                f"An answer of {refused['by']} to {what} did not count: {refused['why']}",
            )
        if asked.tool is None:
            for odd in flagged(asked.shown):
                self._note(run, asked.step, "bad", f"What was shown for {what} has {odd}")

    def _note(self, run: RunTold, step: str, tone: str, text: str) -> None:
        if len(self.notes) < MOST:
            self.notes.append(Note(run, step, tone, text))
        else:
            self.more += 1


class People:
    """Counts who did what."""

    COLUMNS = ("runs for them", "approved", "denied", "did not count", "settled")

    def __init__(self) -> None:
        self._counted: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def see(self, run: RunTold, deeds: Deeds) -> None:
        """One run."""
        if run.behalf:
            self._counted[run.behalf]["runs for them"] += 1
        for asked in deeds.enquiries:
            if asked.by and asked.decision in ("approved", "denied", "answered"):
                self._counted[asked.by]["denied" if asked.decision == "denied" else "approved"] += 1
            for refused in asked.refused:
                self._counted[str(refused["by"])]["did not count"] += 1
        for deed in deeds.done:
            if deed.settled_by:
                self._counted[deed.settled_by.partition(" (")[0]]["settled"] += 1

    def rows(self) -> list[tuple[str, list[int]]]:
        """Each with its counts, by name."""
        return [(name, [n[column] for column in self.COLUMNS]) for name, n in sorted(self._counted.items())]
