"""Whether an answer is from whom it says: signed by a key of that person, over this question and this decision.

An answer's body carries its `proof`, the signature; it stays in the journal with the message, so that anybody who has
the registry of keys can look again, without the store: `governance.evidence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import pydantic_core

from ..core.approval_settings import ApprovalSettings
from ..core.approver_keys import ApproverKey
from ..core.clock import from_micros, to_micros
from ..core.errors import BadSignature
from ..core.people import person
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore
from .statements import Statement

__all__ = ["SKEW_SECONDS", "Signed", "examined", "proven", "revocation", "revocations", "revoked_at"]

SKEW_SECONDS = 60
"""How far a signer's clock may be before the store's."""
_KIND = "approver_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What was found good: as it stands in the VERDICT."""

    by: str
    """whose key it is, as the registry names them"""
    key: str
    """its id"""
    public: str
    """the key itself: what the registry held at that time"""
    iat: int
    """when it was signed, seconds since the Unix epoch, by the signer's clock"""
    checked_at: int
    """when it was looked at, microseconds, the store's clock: the key was not revoked then"""

    def told(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)


def examined(
    proof: Any, expected: Statement, settings: ApprovalSettings, *, at: int, now: int
) -> tuple[Signed, ApproverKey]:
    """Look at all of a signature but whether its key is revoked. Raises `BadSignature`, which says why.

    `expected` is what must have been signed; its `iat` and `kid` are the signer's. `at` is when the answer arrived.
    """
    if not isinstance(proof, str) or not proof:
        raise BadSignature("it is not signed: `perdure approvals approve --sign-with KEYFILE` signs it")
    try:
        from ..identity.approvals import opened
    except ModuleNotFoundError as error:
        raise BadSignature(
            f'signatures cannot be checked here: `{error.name}` is missing (`pip install "perdure[identity]"`)'
        ) from error
    kid, text = opened(proof, lambda kid: found[1] if (found := settings.key(kid)) else None)
    owner, key = cast("tuple[str, ApproverKey]", settings.key(kid))
    if person(owner) != person(expected.sub):
        raise BadSignature(
            f"it is signed by a key of `{owner}`, and `{expected.sub}` is said to have answered"
        )
    try:
        said = Statement.read(text)
    except (ValueError, RecursionError) as error:
        raise BadSignature(f"what is signed cannot be read: {error}") from error
    if wrong := said.differs(replace(expected, iat=said.iat, kid=kid)):
        raise BadSignature(_other(wrong[0], said, replace(expected, kid=kid)))
    age = at // 1_000_000 - said.iat
    if age > settings.signed_within.total_seconds():
        raise BadSignature(
            f"it was signed {age} s before it arrived, and {settings.signed_within.total_seconds():.0f} s are allowed "
            "(`signed_within`): sign it again"
        )
    if age < -SKEW_SECONDS:
        raise BadSignature(f"it was signed {-age} s from now: the signer's clock is wrong")
    return Signed(by=owner, key=kid, public=key.key, iat=said.iat, checked_at=now), key


def _other(name: str, said: Statement, expected: Statement) -> str:
    theirs, ours = (str(getattr(one, name))[:80] for one in (said, expected))
    return f"what is signed is another answer: its `{name}` is `{theirs}`, and should be `{ours}`"


async def proven(
    proof: Any, expected: Statement, settings: ApprovalSettings, store: CellStore, *, at: int, now: int
) -> Signed:
    """The signature of an answer, found good now. Raises `BadSignature`, and `StoreError`."""
    signed, key = examined(proof, expected, settings, at=at, now=now)
    found = await revocations(store, signed.key)
    until = revoked_at(key, found.get(signed.key))
    if until is not None and until <= now:
        raise BadSignature(
            f"the key `{signed.key}` of `{signed.by}` was revoked at {from_micros(until):%Y-%m-%d %H:%M} UTC: sign "
            "with another"
        )
    return signed


def revoked_at(key: ApproverKey, said: Mapping[str, Any] | None = None) -> int | None:
    """When a key was revoked: by the settings, or by `said`, what the store holds of it; None: it is good."""
    times = [] if key.revoked_at is None else [to_micros(key.revoked_at)]
    if said is not None:
        times.append(int(said["revoked_at"]))
    return min(times, default=None)


async def revocations(store: CellStore, kid: str = "") -> dict[str, dict[str, Any]]:
    """What the store holds of revoked keys, by their ids: of one key, or of all."""
    found: dict[str, dict[str, Any]] = {}
    after: CellKey | None = None
    while True:
        # Of all tenants: the registry is the app's, and a key that is lost is lost everywhere.
        page = await store.cells(_KIND, prefix=kid, after=after)
        for key, cell in page:
            told: dict[str, Any] = {**pydantic_core.from_json(cell.data), "tenant": key.tenant}
            if key.name not in found or told["revoked_at"] < found[key.name]["revoked_at"]:
                found[key.name] = told
        if len(page) < 1000:
            return found
        after = page[-1][0]


def revocation(tenant: str, kid: str, *, by: str, why: str = "") -> Amendment:
    """Revoke a key, from now on. The amendment's result: since when (the first time counts), and by whom."""
    key = CellKey(tenant, _KIND, kid)

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        if (there := cells.get(key)) is not None:
            return {}, pydantic_core.from_json(there.data)
        told = {"revoked_at": now, "by": by, "why": why}
        return {key: Cell(pydantic_core.to_json(told))}, told

    return Amendment((key,), change)
