"""Whether an answer is from whom it says, as it stands now: its signature, and whether the key is revoked.

A key is revoked in the settings, or in a cell that every worker sees with the next answer. What was found good is in
the journal; `audit.answers` looks at that again, without the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import pydantic_core

from ..core.approval_settings import ApprovalSettings
from ..core.approver_keys import ApproverKey
from ..core.clock import from_micros
from ..core.errors import BadSignature
from ..core.people import person
from ..core.statements import Statement
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore
from .passkeys import Passkeys

if TYPE_CHECKING:
    from ..identity.approvals import Signed

__all__ = ["ApproverProof", "proven", "revocation", "revocations"]

_KIND = "approver_key"


class ApproverProof(Protocol):
    """What proves an answer other than by a key of its author's own: the issuers of sign-ins, or a company's own."""

    def examine(
        self,
        proof: Mapping[str, Any],
        expected: Statement,
        settings: ApprovalSettings,
        *,
        at: int,
        now: int,
    ) -> Signed:
        """Whose `proof` it is, of exactly what is `expected` (its `iat` apart). Called in a thread.

        `at` is when the answer arrived, `now` when it is looked at; microseconds. Raises `BadSignature`.
        """
        ...


async def proven(
    proof: Any,
    expected: Statement,
    settings: ApprovalSettings,
    store: CellStore,
    *,
    at: int,
    now: int,
    vouching: ApproverProof | None = None,
) -> Signed:
    """The signature of an answer, found good now. Raises `BadSignature`, and `StoreError`.

    `vouching` looks at what is no signature by a key.
    """
    if isinstance(proof, Mapping) and "passkey" in proof:
        return await _by_passkey(cast("Mapping[str, Any]", proof), expected, settings, store, at=at, now=now)
    if isinstance(proof, Mapping):
        if vouching is None:
            raise BadSignature("no issuer is trusted here to vouch for approvers: `[approvals.issuers.NAME]`")
        told = cast("Mapping[str, Any]", proof)
        try:
            return await asyncio.to_thread(vouching.examine, told, expected, settings, at=at, now=now)
        except BadSignature:
            raise
        except Exception as error:  # somebody's own: what cannot be looked at does not count
            raise BadSignature(f"it could not be looked at: {type(error).__name__}: {error}"[:500]) from error
    try:
        from ..identity.approvals import examined
    except ModuleNotFoundError as error:
        raise BadSignature(
            f'signatures cannot be checked here: `{error.name}` is missing (`pip install "perdure[identity]"`)'
        ) from error
    signed, key = examined(proof, expected, settings, at=at, now=now)
    await _not_revoked(signed, key, store, now=now)
    return signed


async def _by_passkey(
    proof: Mapping[str, Any],
    expected: Statement,
    settings: ApprovalSettings,
    store: CellStore,
    *,
    at: int,
    now: int,
) -> Signed:
    try:
        from ..identity.passkeys import asserted, credential_of

        passkey = await Passkeys(store).find(credential_of(proof), tenant=expected.tenant)
        if passkey is None or person(passkey.owner) != person(expected.sub):
            raise BadSignature(f"`{expected.sub}` has not registered that passkey")
        listed = settings.key(passkey.key.kid)
        if listed is None and settings.passkeys is not None and not settings.passkeys.registered:
            raise BadSignature(
                "passkeys count here that stand in `[approvals.keys]`, and this one does not: "
                f"`{passkey.key.key}` is its key"
            )
        if listed is not None and person(listed[0]) != person(expected.sub):
            raise BadSignature(f"`[approvals.keys]` says that the passkey is of `{listed[0]}`")
        signed = asserted(proof, passkey.key, passkey.owner, expected, settings, at=at, now=now)
    except ModuleNotFoundError as error:
        raise BadSignature(
            f'passkeys cannot be checked here: `{error.name}` is missing (`pip install "perdure[identity]"`)'
        ) from error
    if passkey.revoked_at is not None:
        raise BadSignature(f"the passkey was revoked by `{passkey.revoked_by}`: use another")
    await _not_revoked(signed, passkey.key if listed is None else listed[1], store, now=now)
    return signed


async def _not_revoked(signed: Signed, key: ApproverKey, store: CellStore, *, now: int) -> None:
    found = await revocations(store, signed.key)
    until = key.revoked_since(found.get(signed.key))
    if until is not None and until <= now:
        raise BadSignature(
            f"the key `{signed.key}` of `{signed.by}` was revoked at {from_micros(until):%Y-%m-%d %H:%M} UTC: sign "
            "with another"
        )


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
