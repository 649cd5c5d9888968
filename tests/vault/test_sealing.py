"""What is kept opens for whom it is meant, and for nobody else: not for the same bytes in another place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from perdure.core.errors import ConfigError, NeedsConnection
from perdure.identity import CannotUnseal
from perdure.journal import Amendment, Cell, CellKey, Store
from perdure.vault import Grant, Place, Vault
from perdure.vault.grants import UserKey, grant_key, user_key
from tests.vault.conftest import ANN, HUB, TENANT, Connect, Master, wanted

BOB = "user:bob"


async def write(store: Store, key: CellKey, cell: Cell | None) -> None:
    """Do to a cell what nobody should."""

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        return {key: cell}, None

    await store.amend(Amendment((key,), change))


async def moved(store: Store, grant: Grant, *, to: Place, version: int | None = None) -> None:
    there = replace(grant, place=to, version=grant.version if version is None else version)
    await write(store, grant_key(to), there.cell())


async def test_a_grant_opens_where_it_was_put(vault: Vault, connect: Connect) -> None:
    connected = await connect()

    credential = await vault.credential(wanted(ANN, "read"))

    assert credential.reveal().startswith("access-")
    assert (credential.provider, credential.subject) == (HUB, ANN)
    assert credential.expires_at == connected.grant.expires_at
    assert credential.reveal() not in repr(connected)


async def test_moved_to_another_user_it_does_not_open(vault: Vault, store: Store, connect: Connect) -> None:
    anns = (await connect()).grant
    await connect(BOB)

    await moved(store, anns, to=Place(TENANT, BOB, HUB))

    with pytest.raises(NeedsConnection, match="cannot be read any more"):
        await vault.credential(wanted(BOB))


async def test_moved_to_another_user_with_its_key_it_does_not_open(
    vault: Vault, store: Store, connect: Connect
) -> None:
    anns = (await connect()).grant
    ((_, key),) = await store.cells("user_key", tenant=TENANT)

    await moved(store, anns, to=Place(TENANT, BOB, HUB))
    await write(store, user_key(TENANT, BOB), key)

    with pytest.raises(CannotUnseal):
        await vault.credential(wanted(BOB))


async def test_moved_to_another_tenant_it_does_not_open(vault: Vault, store: Store, connect: Connect) -> None:
    anns = (await connect()).grant
    ((_, key),) = await store.cells("user_key", tenant=TENANT)

    await moved(store, anns, to=Place("other", ANN, HUB))
    await write(store, user_key("other", ANN), key)

    with pytest.raises(CannotUnseal):
        await vault.credential(wanted(ANN, tenant="other"))


async def test_moved_to_another_provider_it_does_not_open(
    vault: Vault, store: Store, connect: Connect
) -> None:
    await moved(store, (await connect()).grant, to=Place(TENANT, ANN, "other"))

    with pytest.raises(CannotUnseal, match="moved here from elsewhere"):
        await vault.credential(wanted(provider="other"))


async def test_an_older_version_does_not_open_in_the_place_of_a_newer(
    vault: Vault, store: Store, connect: Connect
) -> None:
    older = (await connect()).grant
    newer = (await connect()).grant

    await moved(store, older, to=newer.place, version=newer.version)

    assert newer.version == older.version + 1
    with pytest.raises(CannotUnseal):
        await vault.credential(wanted())


async def test_no_version_comes_twice(vault: Vault, connect: Connect) -> None:
    first = (await connect()).grant
    await vault.revoke(TENANT, ANN, HUB)

    second = (await connect()).grant

    assert second.version == first.version + 1, "or what was taken away could be put back"


async def test_a_flipped_bit_is_noticed(vault: Vault, store: Store, connect: Connect) -> None:
    grant = (await connect()).grant
    broken = bytearray(grant.sealed)
    broken[-1] ^= 1

    await write(store, grant_key(grant.place), replace(grant, sealed=bytes(broken)).cell())

    with pytest.raises(CannotUnseal, match=HUB):
        await vault.credential(wanted())


async def test_what_stands_beside_the_seal_decides_nothing(
    vault: Vault, store: Store, connect: Connect
) -> None:
    grant = (await connect()).grant

    await write(store, grant_key(grant.place), replace(grant, scopes=("read", "write", "admin")).cell())

    with pytest.raises(NeedsConnection, match="does not cover `admin`"):
        await vault.credential(wanted(ANN, "admin"))


async def test_another_master_key_opens_nothing(
    vault: Vault, store: Store, connect: Connect, providers: Any
) -> None:
    await connect()

    with pytest.raises(CannotUnseal, match="which is not here"):
        await Vault(store, providers, Master()).credential(wanted())


async def test_without_the_users_key_nothing_of_theirs_opens(
    vault: Vault, store: Store, connect: Connect
) -> None:
    await connect()
    await connect(provider="other")
    await connect(BOB)
    kept = {key: cell for key, cell in await store.cells("grant", tenant=TENANT) if ANN in key.name}

    gone = await vault.forget(TENANT, ANN)

    assert len(gone) == len(kept) == 2
    assert not await vault.grants(TENANT, subject=ANN)
    for key, cell in kept.items():  # somebody has a copy of them
        await write(store, key, cell)
    for provider in (HUB, "other"):
        with pytest.raises(NeedsConnection, match="cannot be read any more"):
            await vault.credential(wanted(provider=provider))
    assert (await vault.credential(wanted(BOB))).subject == BOB
    await connect()
    assert (await vault.credential(wanted())).subject == ANN, "a new key, for what is granted anew"
    with pytest.raises(NeedsConnection):
        await vault.credential(wanted(provider="other"))


async def test_two_names_do_not_read_alike(vault: Vault, store: Store, connect: Connect) -> None:
    """`acme|a|b` with `hub` is not `acme|a` with `b|hub`: a provider's name has no `|`."""
    odd = "user:a|b/c"
    await connect(odd)

    assert (await vault.credential(wanted(odd))).subject == odd
    with pytest.raises(NeedsConnection):
        await vault.credential(wanted("user:a|b"))


async def test_names_that_cannot_be_kept_are_refused(vault: Vault) -> None:
    for subject in ("", "user:\0", "user:" + "é" * 500):
        with pytest.raises(ConfigError, match="cannot be a user"):
            await vault.connect_key(TENANT, subject, "mail", "k-123")


async def test_a_users_key_opens_for_that_user_only(vault: Vault, store: Store, connect: Connect) -> None:
    await connect()
    ((key, cell),) = await store.cells("user_key", tenant=TENANT)
    wrapped = UserKey.of(key, cell).wrapped

    assert vault.master.unwrap(wrapped, TENANT, ANN).raw not in cell.data
    for tenant, subject in (("other", ANN), (TENANT, BOB)):
        with pytest.raises(CannotUnseal):
            vault.master.unwrap(wrapped, tenant, subject)
