from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from perdure.access.keys import PREFIX, ApiKeys, NewKey
from perdure.core.errors import ConfigError, UnknownKey
from perdure.core.roles import Role
from perdure.testing import SkippingClock
from tests.access.doors import Door, door

DAY = timedelta(days=1)


async def made(
    there: Door, name: str = "ci", *, tenant: str = "default", role: Role = Role.OPERATOR
) -> NewKey:
    return await there.gate.keys.create(
        name, tenant=tenant, roles=[role], by="user:ann", lasts=DAY, grants=["a:b"]
    )


async def test_a_key_is_a_program_of_its_tenant_with_its_roles(tmp_path: Path) -> None:
    async with door(f"sqlite:///{tmp_path}/a.db") as there:
        for tenant in ("default", "acme_x.eu"):
            new = await made(there, tenant=tenant)
            status, told = await there.knock("POST", authorization=f"Bearer {new.text}")
            assert status == 200
            assert told == {
                "subject": "system:ci",
                "tenant": tenant,
                "roles": ["operator"],
                "via": f"key:{new.key.id}",
                "grants": ["a:b"],
            }
            assert new.text not in repr(new)
        held = [cell.data.decode() for _, cell in await there.app.store.cells("api_key")]
        assert len(held) == 2
        assert not any(new.text in data or new.text.split("_")[2][:64] in data for data in held)
        used = [key.used_at is not None for key in await there.gate.keys.ls()]
        assert used == [True, True]


async def test_a_key_of_one_tenant_opens_no_other() -> None:
    """S32: the tenant at its end is part of what is compared."""
    async with door() as there:
        ours, theirs = await made(there), await made(there, tenant="acme")
        for text in (
            f"{ours.text}.acme",
            theirs.text.removesuffix(".acme"),
            theirs.text.removesuffix(".acme") + ".default",
            ours.text[:-1] + ("0" if ours.text[-1] != "0" else "1"),
            PREFIX,
            f"{PREFIX}{ours.key.id}_{'0' * 64}",
        ):
            assert (await there.knock(authorization=f"Bearer {text}"))[0] == 401
        assert (await there.knock(authorization=f"Bearer {ours.text}"))[0] == 200


async def test_a_key_ends_and_is_revoked() -> None:
    clock = SkippingClock()
    async with door(clock=clock) as there:
        first, second = await made(there, "first"), await made(there, "second")
        with pytest.raises(UnknownKey, match="there is no key `nobody` in tenant `default`"):
            await there.gate.keys.revoke("nobody", tenant="default", by="user:ann")
        with pytest.raises(UnknownKey):  # of another tenant
            await there.gate.keys.revoke(first.key.id, tenant="acme", by="user:ann")
        ended = await there.gate.keys.revoke(first.key.id, tenant="default", by="user:ann")
        again = await there.gate.keys.revoke(first.key.id, tenant="default", by="user:bob")
        assert (ended.revoked_by, again.revoked_at) == ("user:ann", ended.revoked_at)

        assert (await there.knock(authorization=f"Bearer {first.text}"))[0] == 401
        assert (await there.knock(authorization=f"Bearer {second.text}"))[0] == 200
        clock.advance(86400)
        assert (await there.knock(authorization=f"Bearer {second.text}"))[0] == 401
        now = there.app.store.now()
        assert {k.name: k.state(now) for k in await there.gate.keys.ls()} == {
            "first": "revoked",
            "second": "expired",
        }


async def test_what_can_be_no_key_is_refused() -> None:
    async with door() as there:
        keys: ApiKeys = there.gate.keys
        say = {"tenant": "default", "by": "user:ann"}
        with pytest.raises(ConfigError, match="programs approve nothing"):
            await keys.create("ci", roles=[Role.APPROVER], lasts=DAY, **say)
        with pytest.raises(ConfigError, match="has no role"):
            await keys.create("ci", roles=[], lasts=DAY, **say)
        with pytest.raises(ConfigError, match="`a b` cannot be a key's name"):
            await keys.create("a b", roles=[Role.VIEWER], lasts=DAY, **say)
        with pytest.raises(ConfigError, match="would end"):
            await keys.create("ci", roles=[Role.VIEWER], lasts=timedelta(), **say)


async def test_guesses_are_held_up_and_good_keys_are_not() -> None:
    async with door(access={"sign_ins": "5/min"}, clock=SkippingClock()) as there:
        good = f"Bearer {(await made(there)).text}"
        guess = f"Bearer {PREFIX}{'0' * 16}_{'0' * 64}"
        assert [(await there.knock(authorization=guess))[0] for _ in range(6)] == [401] * 5 + [429]
        status, told = await there.knock(authorization=guess)
        assert (status, "too many attempts" in told["detail"]) == (429, True)
        assert (await there.knock())[0] == 401  # who shows nothing guesses nothing

    async with door(access={"sign_ins": "5/min"}, clock=SkippingClock()) as there:
        good = f"Bearer {(await made(there)).text}"
        assert [(await there.knock(authorization=good))[0] for _ in range(8)] == [200] * 8


async def test_two_ways_to_show_who_one_is_are_one_too_many() -> None:
    async with door() as there:
        new = await made(there)
        status, told = await there.knock(cookie="0" * 64, authorization=f"Bearer {new.text}")
        assert (status, "it is not known who asks" in told["detail"]) == (401, True)
        for said in ("", "Basic YTpi", "Bearer", "Bearer ", new.text):
            assert (await there.knock(authorization=said))[0] == 401
