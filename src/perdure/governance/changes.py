"""What people change while workers live: a record of each change, in a chain, under the signature of who made it.

    change 1 ◄── change 2 ◄── change 3            each names the hash of the one before
      │            │            │
      by, why, what it was and is, when: signed by a key of `[approvals.keys]`

Each is a cell of its own that is written once. Whoever changes or takes away one breaks the chain, and all that hold a
later one see it; what is cut off at the end shows only to those who have seen it: workers never go back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pydantic_core

from ..core.approval_settings import ApprovalSettings
from ..core.clock import from_micros
from ..core.errors import BadSignature, RunConflict, StoreCorrupt
from ..core.people import person
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore

__all__ = ["Change", "ChangeLog", "Draft", "Signer", "vouched_for"]

_DIGITS = 10
_PAGE = 1000


class Signer(Protocol):
    """Whoever signs a change: `perdure.identity.approver_file.SigningKey` is one."""

    @property
    def kid(self) -> str:
        """The id of the key."""
        ...

    def sign_change(self, text: bytes) -> str:
        """A compact JWS over the text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A change that nobody has made yet."""

    kind: str
    """of the cells: `policy_change`"""
    tenant: str
    seq: int
    """from 1"""
    previous: str
    """the hash of the one before; empty: there is none"""
    by: str
    reason: str
    what: Mapping[str, Any]
    """what it was, and what it is"""

    def text(self, *, iat: int, kid: str) -> bytes:
        """What is signed: one line of UTF-8, names sorted, no spaces. `iat`: seconds since the Unix epoch."""
        return _canonical({**asdict(self), "iat": iat, "kid": kid})

    def signed(self, signer: Signer, *, iat: int) -> str:
        """The signature of a person over it."""
        return signer.sign_change(self.text(iat=iat, kid=signer.kid))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that was made."""

    draft: Draft
    at: int
    """microseconds, the store's clock"""
    proof: str | None = None
    """its signature"""

    @property
    def hash(self) -> str:
        """SHA-256 of all of it, hexadecimal."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {**asdict(self.draft), "at": self.at, "proof": self.proof}


class ChangeLog:
    """The changes of one kind, of each tenant."""

    def __init__(self, store: CellStore, kind: str) -> None:
        self._store = store
        self.kind = kind

    async def since(self, tenant: str, last: Change | None = None) -> list[Change]:
        """Those that were made after `last`, in order. Raises `StoreCorrupt` where they are no chain."""
        found: list[Change] = []
        while True:
            known = found[-1] if found else last
            after = None if known is None else self._key(tenant, known.draft.seq)
            page = await self._store.cells(self.kind, tenant=tenant, after=after, limit=_PAGE)
            for key, cell in page:
                known = found[-1] if found else last
                found.append(self._read(key, cell, known))
            if len(page) < _PAGE:
                return found

    async def draft(self, tenant: str, *, by: str, reason: str, what: Mapping[str, Any]) -> Draft:
        """The next change of a tenant, to be signed and appended."""
        made = await self.since(tenant)
        seq, previous = (made[-1].draft.seq + 1, made[-1].hash) if made else (1, "")
        return Draft(
            kind=self.kind, tenant=tenant, seq=seq, previous=previous, by=by, reason=reason, what=what
        )

    async def append(self, draft: Draft, proof: str | None = None) -> Change:
        """Make the change. Raises `RunConflict` where somebody else has made one since it was drafted."""
        key, before = self._key(draft.tenant, draft.seq), self._key(draft.tenant, draft.seq - 1)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            known = self._read(before, cells[before], None, first=False) if before in cells else None
            if key in cells or (known.hash if known else "") != draft.previous:
                raise RunConflict("somebody else has made a change meanwhile: look at it, and try again")
            made = Change(draft=draft, at=now, proof=proof)
            return {key: Cell(pydantic_core.to_json(made.to_json()))}, made

        return await self._store.amend(Amendment([before, key], change), news=True)

    def _key(self, tenant: str, seq: int) -> CellKey:
        return CellKey(tenant, self.kind, f"{seq:0{_DIGITS}}")

    def _read(self, key: CellKey, cell: Cell, before: Change | None, *, first: bool = True) -> Change:
        try:
            told: dict[str, Any] = pydantic_core.from_json(cell.data)
            at, proof = told.pop("at"), told.pop("proof")
            found = Change(draft=Draft(**told), at=at, proof=proof)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorrupt(f"change `{key.name}` of `{key.tenant}` cannot be read: {error}") from error
        draft = found.draft
        if (draft.kind, draft.tenant, self._key(draft.tenant, draft.seq)) != (self.kind, key.tenant, key):
            raise StoreCorrupt(f"change `{key.name}` of `{key.tenant}` was written for another place")
        expected = (1, "") if before is None else (before.draft.seq + 1, before.hash)
        if first and (draft.seq, draft.previous) != expected:
            raise StoreCorrupt(
                f"change {draft.seq} of `{key.tenant}` does not follow the one before: a change was altered or taken "
                "away"
            )
        return found


async def vouched_for(change: Change, approvals: ApprovalSettings, store: CellStore) -> str:
    """Whose key has signed a change, or is about to: its `at` is when. Raises `BadSignature`, and `StoreError`."""
    from .signatures import revocations

    draft = change.draft
    if change.proof is None:
        raise BadSignature("it is not signed: `--sign-with KEYFILE` signs it")
    try:
        from ..identity.approvals import CHANGE_TYPE, SKEW_SECONDS, opened
    except ModuleNotFoundError as error:
        raise BadSignature(
            f'signatures cannot be checked here: `{error.name}` is missing (`pip install "perdure[identity]"`)'
        ) from error

    def key_of(kid: str) -> Any:
        found = approvals.key(kid)
        return None if found is None else found[1]

    kid, text = opened(change.proof, key_of, type_=CHANGE_TYPE)
    found = approvals.key(kid)
    assert found is not None
    owner, key = found
    if person(owner) != person(draft.by):
        raise BadSignature(f"it is signed by a key of `{owner}`, and `{draft.by}` is said to have made it")
    try:
        iat = int(json.loads(text)["iat"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSignature(f"what is signed cannot be read: {error}") from error
    if text != draft.text(iat=iat, kid=kid):
        raise BadSignature("another change was signed than this one")
    age = change.at // 1_000_000 - iat
    if not -SKEW_SECONDS <= age <= approvals.signed_within.total_seconds():
        raise BadSignature(f"it was signed {age} s before it was made: sign it again")
    until = key.revoked_since((await revocations(store, kid)).get(kid))
    if until is not None and until <= change.at:
        raise BadSignature(
            f"the key `{kid}` of `{owner}` was revoked at {from_micros(until):%Y-%m-%d %H:%M} UTC"
        )
    return owner


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
