"""An entry behind the end of a journal: when it may be written, and how it is chained."""

from __future__ import annotations

from ..core.errors import RunNotEnded, RunPruned
from ..core.ids import RunRef
from ..journal import ENDINGS, Entry, seal

__all__ = ["annotation"]


def annotation(
    ref: RunRef,
    kind: int,
    payload: bytes,
    *,
    actor: str,
    key: str,
    status: str,
    pruned_at: int | None,
    head: int,
    head_hash: bytes,
    epoch: int,
    at: int,
) -> Entry:
    """The next entry of a run that stands so. Raises `RunPruned` and `RunNotEnded`."""
    if pruned_at is not None:
        raise RunPruned(
            f"run `{ref}` was pruned: what it recorded is gone, so nothing can be added to it any more"
        )
    if status not in ENDINGS:
        raise RunNotEnded(
            f"run `{ref}` has not ended; send it a message (it stands at `{status}`), or add this once it has"
        )
    return seal(head_hash, kind, head + 1, epoch, at, 0, key, actor, b"", payload)
