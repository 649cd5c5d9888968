"""Tokens that are about to end: renewed once, whoever asks and whoever dies; and never somebody else's instead."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.app import open_store
from perdure.core.errors import NeedsConnection, ProviderRefused, ProviderUnavailable, StoreUnavailable
from perdure.journal import Store
from perdure.runtime.boundary.diagnosis import Classifier, FailureClass
from perdure.testing import OAuthServer
from perdure.vault import Vault
from perdure.vault.keeping import Keeping
from tests.vault.conftest import ANN, HUB, SECRET, TENANT, Connect, Master, expire, me, wanted

ROOT = Path(__file__).resolve().parents[2]


async def until(condition: Callable[[], object], what: str) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what}: it did not come true")


def renewals(server: OAuthServer) -> int:
    return server.count("token", grant_type="refresh_token")


async def test_a_good_token_is_handed_out_as_it_is(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()

    tokens = {(await vault.credential(wanted())).reveal() for _ in range(3)}

    assert len(tokens) == 1
    assert renewals(server) == 0
    assert me(tokens.pop(), server) == 200


@pytest.mark.parametrize("seconds", [-1, 30], ids=["ended", "about to end"])
async def test_one_that_ends_is_renewed_first(
    vault: Vault, connect: Connect, server: OAuthServer, seconds: float
) -> None:
    await connect()
    old = await expire(vault, seconds=seconds)

    new = await vault.credential(wanted(ANN, "read"))

    assert new.reveal() != old.access
    assert me(new.reveal(), server) == 200
    assert (await vault.credential(wanted())).reveal() == new.reveal()
    assert renewals(server) == 1
    grant = await vault.grant(TENANT, ANN, HUB)
    assert grant is not None
    assert grant.expires_at == new.expires_at
    assert set(grant.scopes) == {"read", "write"}, "a renewal takes nothing away"


async def test_each_renewal_uses_the_refresh_token_of_the_last(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()

    for _ in range(3):
        await expire(vault)
        assert me((await vault.credential(wanted())).reveal(), server) == 200

    used = [a.form["refresh_token"] for a in server.asked if "refresh_token" in a.form]
    assert len(set(used)) == 3


async def test_two_workers_at_once_make_one_request(
    place: Any,
    tmp_path: Path,
    vault: Vault,
    store: Store,
    connect: Connect,
    server: OAuthServer,
    master: Master,
) -> None:
    await connect()
    await expire(vault)
    others = [open_store(store.url) for _ in range(2)]
    for other in others:
        await other.open()
    vaults = [vault, *(Vault(other, vault.providers, master) for other in others)]
    server.open.clear()

    asking = [asyncio.create_task(v.credential(wanted())) for v in vaults for _ in range(5)]
    await until(lambda: server.arrived == 2, "the code was exchanged, and one renewal is under way")
    server.open.set()
    tokens = {credential.reveal() for credential in await asyncio.gather(*asking)}

    assert len(tokens) == 1
    assert me(tokens.pop(), server) == 200
    assert renewals(server) == 1
    for v, other in zip(vaults[1:], others, strict=True):
        await v.close()
        await other.close()


async def test_processes_at_once_make_one_request(
    vault: Vault, store: Store, connect: Connect, server: OAuthServer, master: Master
) -> None:
    await connect()
    await expire(vault)
    server.open.clear()

    holders = [start_holder(store.url, server, master) for _ in range(2)]
    await until(lambda: server.arrived == 2, "one of them asks")
    server.open.set()
    said = [(await asyncio.to_thread(holder.communicate, timeout=60)) for holder in holders]

    assert {token.strip() for token, _ in said} == {(await vault.credential(wanted())).reveal()}, said
    assert renewals(server) == 1


async def test_a_worker_killed_in_the_middle_is_followed_by_the_next(
    vault: Vault, store: Store, connect: Connect, server: OAuthServer, master: Master
) -> None:
    await connect()
    await expire(vault)
    server.open.clear()
    holder = start_holder(store.url, server, master, lease=1.0)
    await until(lambda: server.arrived == 2, "it asks")

    server.fail(0)  # the request of the dead one is never answered, nor acted upon
    holder.kill()
    holder.communicate()
    server.open.set()
    await until(lambda: server.count("token") == 2, "the server has let it go")
    credential = await vault.credential(wanted())

    assert me(credential.reveal(), server) == 200
    grant = await vault.grant(TENANT, ANN, HUB)
    assert grant is not None
    assert grant.holder is None


async def test_a_call_that_is_cancelled_loses_no_token(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()
    old = await expire(vault)
    server.open.clear()
    asking = asyncio.create_task(vault.credential(wanted()))
    await until(lambda: server.arrived == 2, "it asks")

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    server.open.set()
    await vault.close()

    credential = await vault.credential(wanted())
    assert credential.reveal() != old.access
    assert renewals(server) == 1, "the answer to the first was kept"


async def test_a_store_that_is_away_for_a_moment_loses_no_token(
    vault: Vault, connect: Connect, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect()
    await expire(vault)
    put, failed = Keeping.put, 0

    async def away(self: Keeping, *arguments: Any, **options: Any) -> Any:
        nonlocal failed
        if failed < 3:
            failed += 1
            raise StoreUnavailable("the disk is full")
        return await put(self, *arguments, **options)

    monkeypatch.setattr(Keeping, "put", away)
    credential = await vault.credential(wanted())

    assert failed == 3
    assert me(credential.reveal(), server) == 200


async def test_who_was_frozen_beyond_its_lease_still_keeps_what_it_got(
    vault: Vault, store: Store, connect: Connect, server: OAuthServer, master: Master
) -> None:
    """The other finds the refresh token used up, and takes the grant for dead: it is not."""
    grant = (await connect()).grant
    old = await expire(vault)
    grant = await vault.grant(TENANT, ANN, HUB)
    assert grant is not None
    keeping = vault.keeping
    await keeping.hold(grant, holder="frozen", lease=0)
    got = await vault.client(HUB).refresh(old)
    await keeping.hold(grant, holder="other", lease=1_000_000)
    await keeping.let_go(grant, holder="other", dead="invalid_grant")

    await keeping.put(grant.place, got, kind="oauth2", by=ANN, renewing=grant)

    assert (await vault.credential(wanted())).reveal() == got.access


async def test_without_rotation_the_refresh_token_stays(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    server.rotate(False)
    await connect()

    for _ in range(2):
        await expire(vault)
        assert me((await vault.credential(wanted())).reveal(), server) == 200

    assert len({a.form["refresh_token"] for a in server.asked if "refresh_token" in a.form}) == 1


async def test_taken_back_at_the_provider_the_user_must_connect_anew(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()
    await expire(vault)
    server.take_back()

    for _ in range(2):
        with pytest.raises(NeedsConnection, match="perdure connect hub --user ann --scope read") as needed:
            await vault.credential(wanted(ANN, "read"))
    assert (needed.value.provider, needed.value.subject, needed.value.scopes) == (HUB, ANN, ("read",))
    assert renewals(server) == 1, "what is over is not asked for again"
    grant = await vault.grant(TENANT, ANN, HUB)
    assert grant is not None
    assert grant.state == "dead"
    assert "invalid_grant" in grant.why

    await connect()
    assert me((await vault.credential(wanted())).reveal(), server) == 200


async def test_a_provider_that_is_away_passes_by_itself(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()
    await expire(vault)
    server.fail(503, retry_after=7)

    with pytest.raises(ProviderUnavailable) as away:
        await vault.credential(wanted())

    diagnosis = Classifier().diagnose(away.value)
    assert (diagnosis.failure, diagnosis.retry_after) == (FailureClass.TRANSIENT, 7)
    assert diagnosis.not_sent, "no call was made"
    server.fail(0)
    with pytest.raises(ProviderUnavailable):
        await vault.credential(wanted())
    assert me((await vault.credential(wanted())).reveal(), server) == 200


async def test_a_provider_that_is_away_does_not_matter_while_the_token_is_good(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()
    old = await expire(vault, seconds=30)
    server.fail(503)

    assert [(await vault.credential(wanted())).reveal() for _ in range(2)] == [old.access] * 2
    assert server.count("token", grant_type="refresh_token") == 1, "and each call does not wait for it"


async def test_a_client_that_is_turned_away_does_not_end_the_users_grant(
    vault: Vault, store: Store, connect: Connect, server: OAuthServer, master: Master, monkeypatch: Any
) -> None:
    await connect()
    await expire(vault)
    monkeypatch.setenv("HUB_SECRET", "wrong")

    with pytest.raises(ProviderRefused, match="invalid_client"):
        await Vault(store, vault.providers, master).credential(wanted())

    assert me((await vault.credential(wanted())).reveal(), server) == 200


async def test_one_that_cannot_be_renewed_is_used_to_its_end(vault: Vault, connect: Connect) -> None:
    from dataclasses import replace

    await connect()
    tokens = await expire(vault, seconds=5)
    place = (await vault.grants(TENANT))[0].place
    await vault.keeping.put(place, replace(tokens, refresh=None), kind="oauth2", by=ANN)

    assert (await vault.credential(wanted())).reveal() == tokens.access
    await vault.keeping.put(place, replace(tokens, refresh=None, expires_at=1), kind="oauth2", by=ANN)
    with pytest.raises(NeedsConnection, match="cannot be renewed"):
        await vault.credential(wanted())


async def test_taken_away_while_it_is_renewed_nothing_is_left_at_the_provider(
    vault: Vault, connect: Connect, server: OAuthServer
) -> None:
    await connect()
    await expire(vault)
    server.open.clear()
    asking = asyncio.create_task(vault.credential(wanted()))
    await until(lambda: server.arrived == 2, "it asks")

    await vault.keeping.drop((await vault.grants(TENANT))[0].place)
    server.open.set()

    with pytest.raises(NeedsConnection):
        await asking
    new = [token for token in server.secrets() if token.startswith("access-")][-1]
    assert me(new, server) == 401


async def test_s11_nobody_elses_grant_is_handed_out(vault: Vault, connect: Connect) -> None:
    """Also where it is the only one there is, and however alike the names are."""
    await connect()

    for subject in ("user:bob", "user:an", "user:ann ", "user:ann/x", "agent:desk", "system:nightly"):
        with pytest.raises(NeedsConnection):
            await vault.credential(wanted(subject))
    with pytest.raises(NeedsConnection):
        await vault.credential(wanted(tenant="other"))
    with pytest.raises(NeedsConnection):
        await vault.credential(wanted(provider="other"))


async def test_what_is_missing_is_named(vault: Vault, connect: Connect) -> None:
    await connect()

    with pytest.raises(NeedsConnection, match="does not cover `admin`") as needed:
        await vault.credential(wanted(ANN, "read", "admin"))

    assert needed.value.scopes == ("read", "admin")
    assert "--scope read --scope admin" in str(needed.value)


def start_holder(
    url: str, server: OAuthServer, master: Master, *, lease: float = 30.0
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.vault.holder", url, server.url, ANN, str(lease)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PERDURE_MASTER_KEY": "\n".join(master.keys), "HUB_SECRET": SECRET},
    )
