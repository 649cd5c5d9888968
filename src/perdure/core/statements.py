"""What an approver says, as one text that anybody can write again, byte for byte: it is what is signed.

    {"arguments":null,"decision":"approve","digest":"1f0c…","iat":1795667000,"kid":"…","nonce":"…","reason":null,
     "run":"r1","step":"pay","sub":"user:ann","tenant":"default"}

One line of UTF-8: names in this order, no spaces, strings escaped no more than JSON must. `digest` is that of what was
shown; with other arguments, `arguments` is the digest of the same with those. The page `docs/signed-approvals.md` has
the form and a test vector.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

__all__ = ["Decision", "Statement", "digest_of", "shown_of_doubt"]

Decision = Literal["approve", "reject", "happened", "did_not_happen"]
"""The last two of a write in doubt."""


def digest_of(shown: Mapping[str, Any]) -> str:
    """The digest of what is shown: SHA-256 of its canonical JSON, hexadecimal."""
    return hashlib.sha256(_canonical(shown)).hexdigest()


def shown_of_doubt(waiting: Mapping[str, Any], step: str) -> dict[str, Any]:
    """What a human is shown of a write in doubt: of the payload of its WAITING, and the step."""
    return {name: waiting.get(name) for name in ("arguments", "problem", "run", "tool", "why")} | {
        "step": step
    }


def _canonical(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One answer to one question, by one person. The fields are named as they stand in the text."""

    tenant: str
    run: str
    """the run's full name with its generation, as it was shown"""
    step: str
    digest: str
    """of exactly what was shown"""
    decision: Decision
    arguments: str | None = None
    """the digest of what was shown, with the arguments that the approver put in place; None: none were"""
    reason: str | None = None
    nonce: str
    """the question's own: an answer to it is good for no other, and once"""
    sub: str
    """who says so: `user:ann`"""
    iat: int
    """when: seconds since the Unix epoch"""
    kid: str | None
    """the id of the key that signs; None: an issuer's token vouches"""

    def text(self) -> bytes:
        """What is signed."""
        return _canonical(asdict(self))

    @property
    def hash(self) -> str:
        """SHA-256 of the text, hexadecimal: the challenge for whatever signs no text of its own."""
        return hashlib.sha256(self.text()).hexdigest()

    def differs(self, other: Statement) -> list[str]:
        """The fields in which another statement says something else."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name in mine if mine[name] != theirs[name]]

    @classmethod
    def read(cls, text: bytes) -> Statement:
        """A text, as what it says. Raises `ValueError` for one that is not written as `text` writes it."""
        told: Any = json.loads(text)
        names = set(cls.__slots__)
        if not isinstance(told, dict) or set(told) != names:  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError(f"it is no statement of {', '.join(sorted(names))}")
        kinds: dict[str, Any] = {"iat": int, "arguments": str | None, "reason": str | None, "kid": str | None}
        for name, value in told.items():  # pyright: ignore[reportUnknownVariableType]
            if not isinstance(value, kinds.get(str(name), str)) or isinstance(value, bool):  # pyright: ignore[reportUnknownArgumentType]
                raise ValueError(f"`{name}` is of another type")
        made = cls(**told)  # pyright: ignore[reportUnknownArgumentType]
        if made.decision not in get_args(Decision) or made.text() != text:
            raise ValueError("it is not written in the one form that a statement has")
        return made
