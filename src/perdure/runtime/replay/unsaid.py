"""What a run is about to write, without the secrets that its tools were handed."""

from __future__ import annotations

from dataclasses import replace

from ...core.redaction import Secrets
from ...journal import Change

__all__ = ["Unsaid", "without"]


class Unsaid:
    """The part of a segment's state that must not be written down."""

    secrets: Secrets | None = None
    """what its tools were handed since this worker has the run; None: nothing was"""

    def knows(self, secret: str, what: str) -> None:
        """A tool is handed a secret: from now on `[what]` stands wherever it would. From any thread."""
        if self.secrets is None:
            self.secrets = Secrets()
        self.secrets.know(secret, what)


def without(secrets: Secrets, change: Change | None) -> Change | None:
    """What else happens in the transaction of an append: its progress, its messages to others, its questions."""
    if change is None or not (change.progress or change.posts or change.opened or change.reasons):
        return change
    return replace(
        change,
        reasons=tuple(secrets.text(reason) for reason in change.reasons),
        progress=None if change.progress is None else secrets.payload(change.progress.encode()).decode(),
        posts=tuple(replace(post, body=secrets.payload(post.body)) for post in change.posts),
        opened=tuple(
            replace(asked, question=secrets.text(asked.question), show=secrets.payload(asked.show))
            for asked in change.opened
        ),
    )
