"""A run that is started by a user's token: for that user, in that user's tenant, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perdure import App, ConfigError, Principal, PrincipalRefused, Run, RunConflict
from tests.identity.provider import AUDIENCE, Provider


@pytest.fixture
def idp() -> Iterator[Provider]:
    with Provider() as made:
        yield made


def desk(url: str, idp: Provider, **settings: Any) -> App:
    app = App(url, identity={"issuers": {"corp": {"url": idp.url, "audience": AUDIENCE, **settings}}})

    @app.agent("desk")
    async def desk(run: Run, n: int) -> Any:
        whom = run.on_behalf_of
        return (
            None
            if whom is None
            else [whom.subject, whom.tenant, sorted(whom.grants), whom.expires_at is not None]
        )

    return app


async def test_a_token_starts_runs_of_its_own_tenant_only(store_url: str, idp: Provider) -> None:
    async with desk(store_url, idp, tenant_claim="org") as app:
        run = await app.start("desk", 1, on_behalf_of=idp.token(org="acme", scope="a b"), tenant="acme")
        assert await run.result() == ["user:ann", "acme", ["a", "b"], True]
        for tenant in (None, "other"):
            with pytest.raises(PrincipalRefused, match="is of tenant `acme`, and starts no run of tenant"):
                await app.start("desk", 1, on_behalf_of=idp.token(org="acme"), tenant=tenant)
    async with desk(store_url, idp) as app:
        with pytest.raises(
            PrincipalRefused, match="is of tenant `default`, and starts no run of tenant `acme`"
        ):
            await app.start("desk", 1, on_behalf_of=idp.token(org="acme"), tenant="acme")


async def test_one_user_does_not_get_what_anothers_run_came_to(store_url: str, idp: Provider) -> None:
    async with desk(store_url, idp) as app:
        first = await app.start("desk", 1, run_id="r", on_behalf_of=idp.token())
        again = await app.start("desk", 1, run_id="r", on_behalf_of=idp.token(scope="more", jti="other"))
        assert (first.fresh, again.fresh) == (True, False)
        whose: list[dict[str, Any]] = [
            {"on_behalf_of": idp.token(sub="bob")},
            {"on_behalf_of": Principal(subject="user:ann", issuer="another")},
            {"by": "user:ann"},
            {},
        ]
        for other in whose:
            with pytest.raises(RunConflict, match="or for somebody else"):
                await app.start("desk", 1, run_id="r", **other)
        assert await again.result() == ["user:ann", "default", [], True]


async def test_a_fork_and_a_retry_act_for_nobody_else_and_with_no_more(store_url: str, idp: Provider) -> None:
    async with App(store_url) as app:
        fails = True

        @app.agent("tries")
        async def tries(run: Run) -> Any:
            await run.step("look", lambda: 1)
            if fails:
                raise ValueError("not yet")
            assert run.on_behalf_of is not None
            return [run.on_behalf_of.subject, sorted(run.on_behalf_of.grants)]

        ann = Principal(subject="user:ann", issuer="shop", grants=frozenset(["a"]))
        run = await app.start(tries, run_id="r", on_behalf_of=ann)
        with pytest.raises(Exception, match="not yet"):
            await run.result()
        fails = False
        assert await (await app.retry("r", by="operator")).result() == ["user:ann", ["a"]]
        assert await (await app.fork("r", from_step="look", by="operator")).result() == ["user:ann", ["a"]]


async def test_a_fork_with_another_input_has_no_grants_of_the_user_who_did_not_ask_for_it(
    store_url: str, idp: Provider
) -> None:
    async with desk(store_url, idp) as app:

        @app.agent("pays")
        async def pays(run: Run, amount: int) -> Any:
            await run.step("look", lambda: 1)
            whom = run.on_behalf_of
            return None if whom is None else [amount, whom.subject, whom.issuer, sorted(whom.grants)]

        run = await app.start(pays, 5, run_id="r", on_behalf_of=idp.token(scope="pay"))
        assert await run.result() == [5, "user:ann", idp.url, ["pay"]]
        same = await app.fork("r", from_step="look", input=5, by="operator")
        assert await same.result() == [5, "user:ann", idp.url, ["pay"]]
        other = await app.fork("r", from_step="look", input=500, by="operator")
        assert await other.result() == [500, "user:ann", None, []]
        asked = idp.token(sub="bob", scope="pay more")
        bobs = await app.fork("r", from_step="look", input=500, run_id="bobs", on_behalf_of=asked)
        assert await bobs.result() == [500, "user:bob", idp.url, ["more", "pay"]]
        assert (await bobs.record()).principal == "user:bob"
        with pytest.raises(RunConflict):
            await app.fork("r", from_step="look", input=500, run_id="bobs")
        with pytest.raises(PrincipalRefused, match="has expired"):
            await app.fork("r", from_step="look", on_behalf_of=idp.token(exp=1, iat=0))


async def test_without_issuers_no_token_is_anything(idp: Provider) -> None:
    async with App("memory://") as app:

        @app.agent("desk")
        async def desk(run: Run) -> None: ...

        with pytest.raises(
            ConfigError, match=r"nobody vouches for users here: add a table \[identity.issuers.NAME\]"
        ):
            await app.start(desk, on_behalf_of=idp.token())


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"subject": "ann", "issuer": "shop"}, "is no name of one: write `user:ann`"),
        ({"subject": "user:a b", "issuer": "shop"}, "is no name of one"),
        ({"subject": "user:ann", "grants": frozenset(["a"])}, "name who vouches for it"),
        ({"subject": "user:ann", "issuer": "shop", "grants": frozenset(["a b"])}, "is no grant"),
        ({"subject": "user:ann", "issuer": "shop", "grants": frozenset([7])}, "is no grant"),
    ],
)
def test_principals_that_cannot_be_meant(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Principal(**values)
