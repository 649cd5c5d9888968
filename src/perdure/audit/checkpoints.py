"""Checkpoints (C2SP `tlog-checkpoint`): how large the log is and what its root is, in a signed note."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.errors import BadSignature
from .notes import SignedNote, Signer, Verified, VerifierKey
from .tree import HASH_BYTES

__all__ = ["Checkpoint", "OpenedCheckpoint", "open_checkpoint"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says."""

    origin: str
    """which log"""
    size: int
    """leaves"""
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """What is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    def signed(self, signer: Signer) -> SignedNote:
        """With the log's signature."""
        text = self.text()
        return SignedNote(text, (signer.sign(text),))

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a note. Raises `BadSignature` for what is no checkpoint."""
        origin, size, root, *extensions = (*text.removesuffix("\n").split("\n"), "", "", "")[
            : max(3, text.count("\n"))
        ]
        try:
            raw = base64.b64decode(root, validate=True)
        except binascii.Error:
            raw = b""
        if (
            not origin
            or not (size.isascii() and size.isdecimal() and str(int(size)) == size)
            or len(raw) != HASH_BYTES
            or "" in extensions
        ):
            raise BadSignature(
                f"`{text[:80].splitlines()[0] if text.strip() else ''}…` is no checkpoint: origin, size and root must "
                "stand in its first three lines"
            )
        return cls(origin, int(size), raw, tuple(extensions))


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint, and who has signed it."""

    checkpoint: Checkpoint
    note: SignedNote
    signed_by: Sequence[Verified] = ()
    """of those that are trusted; empty: nobody was asked for"""


def open_checkpoint(note: str | bytes, keys: Iterable[VerifierKey] = ()) -> OpenedCheckpoint:
    """Read a checkpoint and check its signatures, where keys are given: the log's, and those of witnesses.

    Raises `BadSignature`, also where keys are given and none of them has signed.
    """
    parsed = SignedNote.parse(note)
    trusted = list(keys)
    return OpenedCheckpoint(Checkpoint.parse(parsed.text), parsed, parsed.verify(trusted) if trusted else ())
