"""S12 to S16: a token is refused for every single thing that is wrong with it, and a good one is not."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from perdure.identity.digests import arguments_digest, base64url, request_digest
from perdure.identity.keys import Keyring, jwks
from perdure.identity.proofs import ProofKey
from perdure.identity.tokens import Call, Delegation, Issuer
from perdure.identity.verification import Caller, NotAuthorised, StaticKeys, Verifier
from perdure.testing import ManualClock
from tests.identity.conftest import ISSUER, OWNER

BANK = "https://bank.example.com"
PLAIN = f"{BANK}/payments"
URL = f"{PLAIN}?dry=0"
ARGUMENTS = {"to": "Ada", "amount": 12}
BODY = json.dumps(ARGUMENTS, indent=1).encode()


class Desk:
    """Both sides: it mints and sends, and it verifies."""

    def __init__(self, issuer: Issuer, proof_key: ProofKey, clock: ManualClock) -> None:
        self.issuer, self.proof_key, self.clock = issuer, proof_key, clock
        issuer.ring.signing()
        self.verifier = self.new_verifier(BANK)

    def new_verifier(self, audience: str) -> Verifier:
        keys = StaticKeys({ISSUER: jwks([self.issuer.ring])})
        return Verifier(audience, keys, now=lambda: self.clock.micros() / 1e6)

    def mint(self, **changes: Any) -> str:
        call = Call(
            tenant="acme",
            run="r1",
            step="pay",
            tool="pay",
            arguments=arguments_digest(ARGUMENTS),
            content=changes.pop("content", request_digest("dry=0", BODY)),
        )
        options = {"audience": BANK, "proof_key": self.proof_key.thumbprint, "scope": ["pay"]} | changes
        delegation = Delegation("user:ada", ("spiffe://example.org/t/acme/agent/boss",))
        return self.issuer.mint(call, delegation, **options)

    def send(self, token: str, proof: str | None = None, **changes: Any) -> Caller:
        proof = self.proof_key.prove(token, method="POST", url=URL) if proof is None else proof
        options: dict[str, Any] = {"method": "POST", "url": URL, "content": BODY} | changes
        return self.verifier.verify(f"DPoP {token}", proof, **options)


@pytest.fixture
def desk(issuer: Issuer, proof_key: ProofKey, clock: ManualClock) -> Desk:
    return Desk(issuer, proof_key, clock)


def refused(reason: str) -> Any:
    return pytest.raises(NotAuthorised, match=reason)


def rewritten(
    token: str, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None, *, key: Any
) -> str:
    made = jws.extract_compact(token.encode())
    head = {**made.headers(), **(header or {})}
    body = {**json.loads(made.payload), **(claims or {})}
    return jws.serialize_compact(head, json.dumps(body), key, algorithms=[head["alg"]])


def test_a_good_call_says_who_calls_for_whom_and_what_for(desk: Desk) -> None:
    caller = desk.send(desk.mint(), arguments=ARGUMENTS, tool="pay")

    assert caller.subject == "user:ada"
    assert caller.agent == str(OWNER.agent)
    assert caller.chain == ("spiffe://example.org/t/acme/agent/boss",)
    assert (caller.tenant, caller.run, caller.step, caller.tool) == ("acme", "r1", "pay", "pay")
    assert caller.scope == {"pay"}
    assert caller.version == "1"


def test_without_the_bytes_the_arguments_are_compared_however_they_are_written(desk: Desk) -> None:
    token = desk.mint(content=None)
    assert desk.send(token, url=PLAIN, content=b'{"amount":12,"to":"Ada"}').tool == "pay"
    with refused("arguments are not those"):
        desk.send(token, url=PLAIN, content=b'{"amount":13,"to":"Ada"}')
    with refused("arguments are not those"):
        desk.send(token, url=PLAIN, content=b'{"amount":12,')
    with refused("arguments are not those"):  # nobody has admitted the query
        desk.send(token, content=b'{"amount":12,"to":"Ada"}')


def test_a_request_without_a_body_is_compared_by_its_query(desk: Desk) -> None:
    url = f"{PLAIN}?to=Ada&note="
    call = Call(
        tenant="acme",
        run="r1",
        step="look",
        tool="look",
        arguments=arguments_digest({"to": "Ada", "note": ""}),
    )
    token = desk.issuer.mint(call, Delegation("user:ada"), audience=BANK, proof_key=desk.proof_key.thumbprint)
    assert desk.send(token, url=url, content=b"").tool == "look"
    with refused("arguments are not those"):
        desk.send(token, url=f"{PLAIN}?to=Eve&note=", content=b"")


def test_a_token_for_another_audience(desk: Desk) -> None:
    with refused("for somebody else"):
        desk.send(desk.mint(audience="https://mail.example.com"))


def test_a_token_for_another_tool(desk: Desk) -> None:
    with refused("another tool"):
        desk.send(desk.mint(), tool="refund")


def test_no_signature_and_a_signature_by_the_public_key(desk: Desk, ring: Keyring) -> None:
    token = desk.mint()
    _, payload, _ = token.split(".")
    nothing = base64url(json.dumps({"alg": "none", "typ": "at+jwt", "kid": ring.signing().kid}).encode())
    with refused("not signed by ES256"):
        desk.send(f"{nothing}.{payload}.")
    # By hand: no library would take a public key for a secret.
    signed = f"{base64url(json.dumps({'alg': 'HS256', 'typ': 'at+jwt', 'kid': ring.signing().kid}).encode())}.{payload}"
    pem = ring.signing().key.as_pem(private=False)
    with refused("not signed by ES256"):
        desk.send(f"{signed}.{base64url(hmac.digest(pem, signed.encode(), 'sha256'))}")


def test_a_token_that_was_changed(desk: Desk) -> None:
    with refused("signature is wrong"):
        desk.send(rewritten(desk.mint(), claims={"sub": "user:eve"}, key=ECKey.generate_key("P-256")))


def test_a_token_by_a_key_that_is_not_published(desk: Desk) -> None:
    stranger = ECKey.generate_key("P-256")
    with refused("not known here"):
        desk.send(rewritten(desk.mint(), {"kid": stranger.thumbprint()}, key=stranger))


def test_a_token_that_has_expired(desk: Desk, clock: ManualClock) -> None:
    token = desk.mint()
    clock.advance(299)
    assert desk.send(token).tool == "pay"
    clock.advance(1)
    with refused("has expired"):
        desk.send(token)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 99_999_999_999}, "lasts too long"),
        ({"exp": None}, "when it ends"),
        ({"nbf": 99_999_999_999}, "not valid yet"),
        ({"iss": "https://evil.example"}, "issuer or key is not known"),
        ({"act": None}, "who acts"),
        ({"sub": None}, "for whom"),
        ({"cnf": None}, "bound to another key"),
        ({"authorization_details": []}, "no call"),
    ],
)
def test_claims_that_an_honest_issuer_would_not_make(
    desk: Desk, ring: Keyring, claims: dict[str, Any], reason: str
) -> None:
    with refused(reason):
        desk.send(rewritten(desk.mint(), claims=claims, key=ring.signing().key))


def test_an_id_token_is_no_access_token(desk: Desk, ring: Keyring) -> None:
    with refused("no at\\+jwt"):
        desk.send(rewritten(desk.mint(), {"typ": "JWT"}, key=ring.signing().key))


def test_what_the_header_demands_and_is_not_understood(desk: Desk, ring: Keyring) -> None:
    with refused("not understood|cannot be read"):
        token = rewritten(desk.mint(), {"b64": True, "crit": ["b64"]}, key=ring.signing().key)
        desk.send(token)


def test_a_stolen_token_is_useless_without_its_key(desk: Desk, clock: ManualClock) -> None:
    token = desk.mint()
    with refused("proof of possession is missing"):
        desk.verifier.verify(f"DPoP {token}", None, method="POST", url=URL)
    with refused("with a proof"):
        desk.verifier.verify(f"Bearer {token}", None, method="POST", url=URL)
    with refused("bound to another key"):
        desk.send(token, ProofKey(clock).prove(token, method="POST", url=URL))


def test_a_proof_is_good_once(desk: Desk, proof_key: ProofKey) -> None:
    token = desk.mint()
    proof = proof_key.prove(token, method="POST", url=URL)
    desk.send(token, proof)
    with refused("used before"):
        desk.send(token, proof)


@pytest.mark.parametrize(
    ("prove", "reason"),
    [
        (lambda key, token: key.prove(token, method="GET", url=URL), "another request"),
        (lambda key, token: key.prove(token, method="POST", url=f"{BANK}/refunds"), "another request"),
        (lambda key, token: key.prove("another", method="POST", url=URL), "another token"),
        (lambda key, token: token, "no dpop\\+jwt"),
        (lambda key, token: "a.b", "cannot be read"),
        (lambda key, token: "x" * 20_000, "too long"),
    ],
)
def test_a_proof_for_something_else(desk: Desk, prove: Callable[[ProofKey, str], str], reason: str) -> None:
    token = desk.mint()
    with refused(reason):
        desk.send(token, prove(desk.proof_key, token))


def test_an_old_proof(desk: Desk, clock: ManualClock) -> None:
    token = desk.mint()
    proof = desk.proof_key.prove(token, method="POST", url=URL)
    clock.advance(61)
    with refused("too old"):
        desk.send(token, proof)


def test_a_proof_whose_key_tells_its_private_half(desk: Desk) -> None:
    token = desk.mint()
    key: Any = desk.proof_key._key  # pyright: ignore[reportPrivateUsage]
    proof = rewritten(
        desk.proof_key.prove(token, method="POST", url=URL), {"jwk": key.as_dict(private=True)}, key=key
    )
    with refused("no accepted kind"):
        desk.send(token, proof)


def test_other_bytes_than_were_admitted(desk: Desk) -> None:
    with refused("arguments are not those"):
        desk.send(desk.mint(), content=BODY.replace(b"Ada", b"Eve"))
    with refused("arguments are not those"):
        desk.send(desk.mint(), content=b'{"to":"Eve","to":"Ada","amount":12}')
    with refused("arguments are not those"):
        desk.send(desk.mint(), url=f"{PLAIN}?dry=1")
    with refused("arguments are not those"):
        desk.send(desk.mint(), arguments={**ARGUMENTS, "amount": 1200})


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 50_000])
def test_deep_or_broken_input_is_refused_like_any_other(desk: Desk, deep: str) -> None:
    with refused("arguments are not those"):
        desk.send(desk.mint(content=None), content=deep.encode())
    with refused("cannot be read|too long"):
        desk.send(deep[:9000])
    with refused("cannot be read|no dpop"):
        desk.send(desk.mint(), f"{base64url(deep[:6000].encode())}.e30.e30")


def test_rotation_overlaps_and_a_revoked_key_is_gone_at_once(
    desk: Desk, ring: Keyring, clock: ManualClock
) -> None:
    old = ring.signing().kid
    new = ring.rotate().kid
    assert ring.signing().kid == old
    assert [key.kid for key in ring.published()] == [old, new]
    clock.advance(600)
    assert ring.signing().kid == new
    desk.verifier = desk.new_verifier(BANK)
    assert desk.send(desk.mint()).tool == "pay"
    assert [key.kid for key in ring.published()] == [old, new], "tokens by the old one live on"
    clock.advance(361)
    assert [key.kid for key in ring.published()] == [new]

    token = desk.mint()
    assert ring.revoke(new)
    assert not ring.revoke(new)
    assert ring.signing().kid != new
    desk.verifier = desk.new_verifier(BANK)
    with refused("not known here"):
        desk.send(token)
