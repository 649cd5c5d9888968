"""S12 to S15: what providers' tokens are refused for, at the gate of a server."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from perdure.core.clock import SystemClock
from perdure.identity.proofs import ProofKey
from tests.access.doors import URL, Door, door
from tests.identity.provider import Provider


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
async def there(provider: Provider) -> AsyncIterator[Door]:
    async with opened(provider) as made:
        yield made


def opened(provider: Provider, **access: Any) -> Any:
    issuer = {"url": provider.url, "audience": "perdure", "grants": ["groups"], "tenant": "acme"}
    rules = {"operator": ["ops"], "viewer": "*", "policy-editor": ["policies"]}
    return door(
        identity={"issuers": {"corp": issuer}},
        access={"roles": {"corp": rules}, "sign_ins": "1000/min"} | access,
    )


async def test_groups_become_roles(there: Door, provider: Provider) -> None:
    for groups, roles in (
        (["ops"], ["operator", "viewer"]),
        (["policies", "strangers"], ["policy_editor", "viewer"]),
        ([], ["viewer"]),
        ("ops", ["operator", "viewer"]),
        ({"ops": 1}, ["viewer"]),
    ):
        status, told = await there.knock(authorization=f"Bearer {provider.token(groups=groups)}")
        assert (status, told["roles"]) == (200, roles)
        assert (told["subject"], told["tenant"], told["via"]) == ("user:ann", "acme", "token:corp")


async def test_who_acts_for_a_user_decides_nothing_for_them(provider: Provider) -> None:
    """RFC 8693 says in `act` who holds a token of somebody else's."""
    rules = {"operator": "*", "approver": "*", "policy-editor": "*", "admin": "*"}
    async with opened(provider, roles={"corp": rules}) as there:
        told = [
            (await there.knock(authorization=f"Bearer {provider.token(**more)}"))[1]["roles"]
            for more in ({}, {"act": {"sub": "agent:desk"}})
        ]
    assert told == [["admin", "approver", "operator", "policy_editor"], ["operator"]]


async def test_what_is_refused(there: Door, provider: Provider) -> None:
    public = provider.keys[0].as_pem(private=False)
    claims = provider.token().split(".")[1]
    head = _b64(b'{"alg":"HS256","typ":"JWT","kid":"k1"}')
    forged = f"{head}.{claims}.{_b64(hmac.digest(public, f'{head}.{claims}'.encode(), 'sha256'))}"
    none = _b64(b'{"alg":"none","typ":"JWT","kid":"k1"}')
    now = int(time.time())
    refused = {
        "S12 audience": provider.token(aud="bank"),
        "S13 none": f"{none}.{claims}.",
        "S13 HS256 with the public key": forged,
        "S14 expired": provider.token(iat=now - 700, exp=now - 100),
        "S15 bound to a key that nobody shows": provider.token(cnf={"jkt": "x"}),
        "another issuer": provider.token(iss="http://127.0.0.1:1"),
        "changed": provider.token()[:-4] + "AAAA",
        "nonsense": "a.b.c",
    }
    for name, token in refused.items():
        status, told = await there.knock(authorization=f"Bearer {token}")
        assert status == 401, (name, told)
        assert token not in told["detail"]
    assert (await there.knock(authorization=f"Bearer {provider.token()}"))[0] == 200


async def test_a_stolen_token_is_good_for_nothing(there: Door, provider: Provider) -> None:
    """S15: bound to a key (DPoP), it counts with a new proof of that key for this request only."""
    mine, thief = ProofKey(SystemClock()), ProofKey(SystemClock())
    token = provider.token(cnf={"jkt": mine.thumbprint})
    proof = mine.prove(token, method="GET", url=f"{URL}/me")

    async def shown(proof: str, said: str = token, method: str = "GET") -> int:
        return (await there.knock(method, authorization=f"DPoP {said}", dpop=proof))[0]

    assert await shown(proof) == 200
    assert await shown(proof) == 401  # again
    assert await shown(thief.prove(token, method="GET", url=f"{URL}/me")) == 401
    assert await shown(mine.prove(token, method="GET", url=f"{URL}/me"), method="POST") == 401
    assert await shown(mine.prove(token, method="GET", url=f"{URL}/other")) == 401
    assert await shown(mine.prove("another", method="GET", url=f"{URL}/me")) == 401
    bare = provider.token()  # bound to nobody: a proof with it proves nothing
    assert await shown(mine.prove(bare, method="GET", url=f"{URL}/me"), bare) == 401
    assert (await there.knock(authorization=f"DPoP {token}"))[0] == 401  # without a proof
    assert (await there.knock(authorization=f"Bearer {token}"))[0] == 401


async def test_where_a_proof_is_demanded_a_bare_token_is_refused(provider: Provider) -> None:
    async with opened(provider, proof=["corp"]) as there:
        status, told = await there.knock(authorization=f"Bearer {provider.token()}")
        assert (status, told["detail"]) == (401, "a token of `corp` counts with a proof of possession only")
        key = ProofKey(SystemClock())
        token = provider.token(cnf={"jkt": key.thumbprint})
        proof = key.prove(token, method="GET", url=f"{URL}/me")
        assert (await there.knock(authorization=f"DPoP {token}", dpop=proof))[0] == 200


async def test_without_an_issuer_no_token_counts(provider: Provider) -> None:
    async with door() as there:
        status, told = await there.knock(authorization=f"Bearer {provider.token()}")
        assert (status, "no issuer of tokens is trusted here" in told["detail"]) == (401, True)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
