"""A new master key: begun, stopped, begun again, beside workers that go on; then the old one is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.audit.keys import make_key, open_key, reseal_key
from perdure.core.provider_settings import ProviderSettings
from perdure.db.sealed.keys import SubjectKeys
from perdure.identity import AgentId, CannotUnseal, FileKeyStore, KeyOwner, Keyring, MasterKeys
from perdure.journal import Store
from perdure.testing import ManualClock
from perdure.vault import Vault
from perdure.vault.rotation import rotate
from perdure.vault.secrets import client_secret, seal_secret
from tests.vault.conftest import TENANT, Master, wanted

USERS = [f"user:{n}" for n in range(25)]


class Stopped(Exception):
    """As if the command was killed."""


@pytest.fixture
async def vault(store: Store, master: Master, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setattr("perdure.vault.keeping.PAGE", 10)
    vault = Vault(store, {"mail": ProviderSettings(kind="api_key")}, master)
    for user in USERS:
        await vault.connect_key(TENANT, user, "mail", f"sk-of-{user}")
    return vault


async def opens(vault: Vault) -> bool:
    for user in USERS:
        credential = await vault.credential(wanted(user, provider="mail"))
        assert credential.reveal() == f"sk-of-{user}"
    return True


async def test_it_may_be_stopped_and_begun_again(vault: Vault, store: Store, master: Master) -> None:
    sealed = {grant.place: grant.sealed for grant in await vault.grants(TENANT)}
    old = master.rotate()
    done: list[int] = []

    def stops(users: int) -> None:
        done.append(users)
        if users == 7:
            raise Stopped

    with pytest.raises(Stopped):
        await rotate(vault, tell=stops)
    assert await opens(vault), "half of them are done, and all are good"
    rotated = await rotate(Vault(store, vault.providers, master), tell=done.append)

    assert rotated.done["users"] == len(USERS) - 7
    assert done == [*range(1, 8), *range(1, len(USERS) - 6)]
    assert (rotated.current, rotated.others) == (master().ids[0], (master().ids[1],))
    master.keys.remove(old)
    assert await opens(Vault(store, vault.providers, master))
    assert not any((await rotate(vault)).done.values())
    assert {g.place: g.sealed for g in await vault.grants(TENANT)} == sealed, "grants stay as they are"


async def test_before_the_rotation_the_old_key_is_needed(vault: Vault, store: Store, master: Master) -> None:
    master.keys.remove(master.rotate())

    with pytest.raises(CannotUnseal, match="which is not here"):
        await opens(Vault(store, vault.providers, master))


async def test_a_worker_that_goes_on_sees_the_new_key(vault: Vault, store: Store, master: Master) -> None:
    """It has read the old key long ago: what it seals from now on must not need that one."""
    assert await opens(vault)
    old = master.rotate()
    await rotate(Vault(store, vault.providers, master))
    await vault.connect_key(TENANT, "user:new", "mail", "sk-of-user:new")
    assert await opens(vault)
    master.keys.remove(old)

    assert await opens(vault)
    fresh = Vault(store, vault.providers, master)
    assert (await fresh.credential(wanted("user:new", provider="mail"))).reveal() == "sk-of-user:new"


async def test_the_keys_of_people_go_along(store: Store, master: Master) -> None:
    """Of those whose data runs handle: sealed by the store itself."""
    worker = SubjectKeys(store, master)
    before = await worker.get(TENANT, "customer:7")
    await worker.get(TENANT, "customer:8")
    await worker.begin_erasing(TENANT, "customer:8", by="ann")
    await worker.destroy(TENANT, "customer:8")

    old = master.rotate()
    rotated = await rotate(Vault(store, {}, master))
    await worker.get(TENANT, "customer:9")
    master.keys.remove(old)

    assert rotated.done["people"] == 1, "what was erased has no key"
    afterwards = SubjectKeys(store, master)
    after = await afterwards.find(TENANT, "customer:7")
    assert after is not None
    assert after.fingerprint_key(b"") == before.fingerprint_key(b""), "the same key, under another"
    assert await afterwards.find(TENANT, "customer:8") is None
    assert await afterwards.find(TENANT, "customer:9") is not None


async def test_the_keys_of_agents_and_the_secrets_of_clients_go_along(
    store: Store, master: Master, tmp_path: Path
) -> None:
    keys, secret = tmp_path / "keys", tmp_path / "hub.secret"
    owner = KeyOwner(AgentId.of("example.org", TENANT, "desk"), "1")
    kid = Keyring(FileKeyStore(keys, master()), owner, ManualClock()).signing().kid
    hub = ProviderSettings(
        issuer="https://hub.example.com", client_id="perdure", client_secret=f"sealed:{secret}"
    )
    seal_secret("hub", secret, "a-clients-secret", master())
    assert b"a-clients-secret" not in secret.read_bytes()
    assert secret.stat().st_mode & 0o077 == 0

    log = tmp_path / "audit.key"
    public = make_key(log, "example.org/log", master())

    old = master.rotate()
    rotated = await rotate(
        Vault(store, {"hub": hub}, master),
        files={
            "agents": lambda new: FileKeyStore(keys, new).reseal(),
            "audit": lambda new: reseal_key(log, new),
        },
    )
    master.keys.remove(old)

    assert rotated.done == {"users": 0, "people": 0, "agents": 1, "audit": 1, "secrets": 1}
    signer = open_key(log, master)
    assert signer is not None
    assert signer.verifier == public
    assert client_secret("hub", hub, master) == "a-clients-secret"
    assert Keyring(FileKeyStore(keys, master()), owner, ManualClock()).signing().kid == kid
    with pytest.raises(CannotUnseal):
        client_secret("hub", hub, lambda: MasterKeys.read(old, where="the old one"))
    with pytest.raises(CannotUnseal):
        client_secret("other", hub, master)
