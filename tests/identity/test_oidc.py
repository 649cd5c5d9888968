"""Users' tokens: whom they name, and everything that must not be taken for one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet, OctKey, OKPKey, RSAKey

from perdure import ConfigError, Principal, PrincipalRefused
from perdure.core.identity_settings import IdentitySettings, TrustedIssuer
from perdure.core.settings import load_settings
from perdure.core.table import read_table
from perdure.identity import fetching
from perdure.identity.digests import content_digest
from perdure.identity.fetching import FetchedKeys
from perdure.identity.oidc import Users
from tests.identity.provider import AUDIENCE, Provider, new_key


@pytest.fixture
def idp() -> Iterator[Provider]:
    with Provider() as made:
        yield made


def users(idp: Provider, **settings: Any) -> Users:
    issuer = {"url": idp.url, "audience": AUDIENCE, **settings}
    return Users.open(IdentitySettings.model_validate({"issuers": {"corp": issuer}}), tenant="default")


def refusal(users: Users, token: str) -> str:
    with pytest.raises(PrincipalRefused) as refused:
        users.verify(token)
    for part in token.split("."):
        assert len(part) < 12 or part not in str(refused.value)
    return str(refused.value)


# who it is -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "Ed25519"])
def test_a_good_token_names_its_user(idp: Provider, algorithm: str) -> None:
    idp.keys = [new_key(algorithm)]

    found = users(idp).verify(idp.token(scope="payments:read payments:write", nbf=int(time.time())))

    assert found == Principal(
        subject="user:ann",
        issuer=idp.url,
        grants=frozenset(["payments:read", "payments:write"]),
        tenant="default",
        expires_at=found.expires_at,
        token=content_digest(f"{idp.url}\0j-17".encode()),
    )
    assert found.verified
    assert found.expires_at is not None


def test_names_grants_and_tenants_come_from_the_claims_that_are_named(idp: Provider) -> None:
    settings: dict[str, Any] = {
        "name": "preferred_username",
        "grants": ["scp", "realm_access.roles", "https://example.org/roles", "not.there"],
        "tenant_claim": "org.id",
        "prefix": "partner",
        "grants_last": "PT1H",
    }
    token = idp.token(
        **{
            "preferred_username": "o/ann:1%",
            "scp": ["a"],
            "realm_access": {"roles": ["b", 7]},
            "https://example.org/roles": "c d",
            "org": {"id": "acme"},
            "scope": "unasked",
        }
    )

    found = users(idp, **settings).verify(token)

    assert found.subject == "user:partner:o%2Fann%3A1%25"
    assert found.known_as == "ann"
    assert found.grants == {"a", "b", "c", "d"}
    assert found.tenant == "acme"
    assert found.grants_until is not None
    system = users(idp, kind="system").verify(idp.token(sub="nightly"))
    assert (system.subject, system.known_as) == ("system:nightly", None)


def test_two_issuers_never_give_two_people_one_name(idp: Provider) -> None:
    with Provider() as other:
        both = IdentitySettings.model_validate(
            {
                "issuers": {
                    "corp": {"url": idp.url, "audience": AUDIENCE},
                    "partner": {"url": other.url, "audience": AUDIENCE, "prefix": "p", "tenant": "acme"},
                }
            }
        )
        found = Users.open(both, tenant="default")
        names = [found.verify(p.token(sub=sub)).subject for p, sub in ((idp, "p:ann"), (other, "ann"))]
        assert names == ["user:p%3Aann", "user:p:ann"]
        assert found.verify(other.token()).tenant == "acme"
        # a key of the one signs nothing for the other, also where both have one of that id
        assert "signature is wrong" in refusal(found, other.token(key=idp.keys[0]))
    for fault, second in {
        "the same name: give one a `prefix`": {"url": "https://two.example.org"},
        "have the same url": {"url": idp.url, "prefix": "p"},
    }.items():
        issuers = {"one": {"url": idp.url, "audience": "a"}, "two": {"audience": "a", **second}}
        with pytest.raises(ConfigError, match=fault):
            read_table(IdentitySettings, {"issuers": issuers}, where="the test")


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # and still what providers write
def test_an_ed25519_key_may_go_by_its_old_name(idp: Provider) -> None:
    key = OKPKey.generate_key("Ed25519", {"kid": "k1"})
    idp.keys = [key]
    found = users(idp)
    good = jws.serialize_compact(
        {"alg": "EdDSA", "kid": "k1"}, json.dumps(idp.claims()).encode(), key, algorithms=["EdDSA"]
    )
    assert found.verify(good).subject == "user:ann"
    head, payload, signature = good.split(".")
    assert "signature is wrong" in refusal(found, f"{head}.{payload}.{'A' * len(signature)}")


# what is no such token -----------------------------------------------------------------------------------------------

NOW = int(time.time())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"iss": "https://evil.example.org"}, "which is not trusted here"),
        ({"iss": None}, "is not trusted here"),
        ({"aud": "another"}, "the token is for `another`, and this is `perdure`"),
        ({"aud": None}, "is for `nobody`"),
        ({"aud": []}, "is for `nobody`"),
        ({"aud": [AUDIENCE, "another"]}, "was given to `None`"),
        ({"aud": [AUDIENCE, "another"], "azp": "another"}, "was given to `another`"),
        ({"exp": NOW - 1}, "has expired"),
        ({"exp": None}, "does not say when"),
        ({"iat": None}, "does not say when"),
        ({"exp": "9999999999"}, "does not say when"),
        ({"exp": True, "iat": False}, "does not say when"),
        ({"exp": NOW + 90_000}, "is good for longer than 1 day"),
        ({"nbf": NOW + 3600}, "is not valid yet"),
        ({"nbf": "soon"}, "is not valid yet"),
        ({"iat": NOW + 3600, "exp": NOW + 7200}, "is not valid yet"),
        ({"sub": None}, "whom it is for"),
        ({"sub": 7}, "whom it is for"),
        ({"sub": "an n"}, "cannot be seen"),
        ({"sub": "ann\u200b"}, "cannot be seen"),
        ({"sub": "a" * 201}, "too long a one"),
        ({"cnf": {"jkt": "x"}}, "without a proof of that key"),
        ({"scope": " ".join(f"s{i}" for i in range(201))}, "lists 201 grants"),
        ({"scope": 'a"b'}, "is no grant"),
    ],
)
def test_claims_that_are_refused(idp: Provider, changed: dict[str, Any], why: str) -> None:
    assert why in refusal(users(idp), idp.token(**changed))


def test_signatures_that_are_refused(idp: Provider) -> None:
    found = users(idp)
    good = idp.token()
    head, payload, signature = good.split(".")
    stranger = new_key(kid="k1")

    def unsigned(header: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()

    assert "signed by `none`" in refusal(found, f"{unsigned({'alg': 'none', 'kid': 'k1'})}.{payload}.")
    public = json.dumps(idp.keys[0].as_dict(private=False)).encode()
    shared = OctKey.import_key(public, {"kid": "k1"})
    confused = jws.serialize_compact(
        {"alg": "HS256", "kid": "k1"}, json.dumps(idp.claims()).encode(), shared, algorithms=["HS256"]
    )
    assert "signed by `HS256`" in refusal(found, confused)
    assert "signature is wrong" in refusal(found, idp.token(key=stranger))
    assert "signature is wrong" in refusal(found, f"{head}.{payload}.{signature[:-4]}AAAA")
    own = stranger.as_dict(private=False)
    assert "brings its own key" in refusal(found, idp.token(key=stranger, header={"jwk": own}))
    assert "brings its own key" in refusal(found, idp.token(header={"jku": f"{idp.url}/evil"}))
    critical = unsigned({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": False})
    assert "what is not understood here" in refusal(found, f"{critical}.{payload}.{signature}")
    assert "is a `logout+jwt`" in refusal(found, idp.token(header={"typ": "logout+jwt"}))
    assert "key `None` is not among those" in refusal(found, idp.token(header={"kid": None}))
    for broken in (
        "",
        "x",
        "a.b",
        f"{head}.{payload}",
        f"{good}.x",
        good.replace(".", " "),
        f"{head}.W10.{signature}",
    ):
        assert "cannot be read" in refusal(found, broken)
    assert "longer than" in refusal(found, "a" * 20_000)
    assert "of `" in refusal(users(idp, algorithms=["RS256"]), good)
    assert found.verify(idp.token(header={"typ": "at+jwt"})).subject == "user:ann"
    assert found.verify(idp.token(header={"typ": None})).subject == "user:ann"
    assert found.verify(f" {good}\n").subject == "user:ann"


@pytest.mark.filterwarnings("ignore:Key size should be")  # that is the point
def test_keys_that_are_for_something_else_sign_nothing(idp: Provider) -> None:
    small = RSAKey.generate_key(1024, {"kid": "small"}, auto_kid=False)
    idp.keys = [
        new_key("RS256", "enc", use="enc"),
        new_key("RS256", "other", alg="RS512"),
        small,
        new_key("RS256", "ops", use=None, alg=None, key_ops=["encrypt"]),
        new_key("ES256", "good"),
    ]
    found = users(idp)
    assert found.verify(idp.token(key=idp.keys[-1])).subject == "user:ann"
    for key in (*idp.keys[:2], idp.keys[3]):
        plain = RSAKey.import_key(
            {k: v for k, v in key.as_dict(private=True).items() if k not in ("use", "alg", "key_ops")}
        )
        token = jws.serialize_compact(
            {"alg": "RS256", "kid": key.kid}, json.dumps(idp.claims()).encode(), plain, algorithms=["RS256"]
        )
        assert "is not one for `RS256`" in refusal(found, token)
    token = jws.serialize_compact(
        {"alg": "RS256", "kid": "small"}, json.dumps(idp.claims()).encode(), small, algorithms=["RS256"]
    )
    assert "is not one for `RS256`" in refusal(found, token)


def test_only_named_clients_may_hand_a_token_on(idp: Provider) -> None:
    found = users(idp, clients=["web"])
    assert found.verify(idp.token(azp="web")).subject == "user:ann"
    assert found.verify(idp.token(client_id="web", aud=[AUDIENCE, "x"])).subject == "user:ann"
    assert "was given to `other`" in refusal(found, idp.token(azp="other"))
    assert "was given to `None`" in refusal(found, idp.token())


def test_a_name_that_users_can_choose_is_none(idp: Provider) -> None:
    """An address that nobody verified is whatever its user typed."""
    found = users(idp, name="email")
    assert found.verify(idp.token(email="a@b.org", email_verified=True)).subject == "user:a@b.org"
    for verified in (None, False, "true"):
        assert "not verified" in refusal(found, idp.token(email="a@b.org", email_verified=verified))
    assert "does not say of which tenant" in refusal(users(idp, tenant_claim="org"), idp.token())
    assert "cannot be a tenant" in refusal(users(idp, tenant_claim="org"), idp.token(org="../acme"))


# keys ----------------------------------------------------------------------------------------------------------------


def test_keys_are_fetched_once_and_again_for_one_that_is_new(idp: Provider) -> None:
    clock = [1000.0]
    issuer = TrustedIssuer(url=idp.url, audience=(AUDIENCE,))
    found = Users({"corp": issuer}, tenant="t", keys=FetchedKeys([idp.url], now=lambda: clock[0]))
    for _ in range(3):
        found.verify(idp.token())
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"]

    idp.keys = [new_key("RS256", "k2")]
    before = idp.token(key=new_key(kid="unknown"))
    for _ in range(5):  # nobody can make it fetch with each token
        assert "is not among those" in refusal(found, before)
        assert "is not among those" in refusal(found, idp.token())
    assert len(idp.asked) == 2
    clock[0] += fetching.AGAIN_SECONDS + 1
    assert found.verify(idp.token()).subject == "user:ann"
    assert len(idp.asked) == 4

    idp.away = True
    clock[0] += fetching.KEEP_SECONDS + 1
    assert found.verify(idp.token()).subject == "user:ann", "keys that are known go on to be good"


def test_a_discovery_document_speaks_for_its_own_issuer_only(idp: Provider) -> None:
    idp.says = {"issuer": "https://another.example.org"}
    assert "could not be fetched" in refusal(users(idp), idp.token())
    with Provider() as elsewhere:
        assert users(elsewhere, url=elsewhere.url, jwks=f"{elsewhere.url}/keys").verify(elsewhere.token())
        assert elsewhere.asked == ["/keys"]


def test_keys_may_stand_in_a_file_beside_the_settings(idp: Provider, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(KeySet(idp.keys).as_dict(private=False)))
    (tmp_path / "perdure.toml").write_text(
        f'[identity.issuers.corp]\nurl = "{idp.url}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n'
        'tenant = "acme"\n[identity]\nos_grants = ["payments:read"]\n'
    )
    settings = load_settings(tmp_path / "perdure.toml").identity
    assert settings.os_grants == {"payments:read"}
    assert Users.open(settings, tenant="default").verify(idp.token()).tenant == "acme"
    assert idp.asked == []
    (tmp_path / "keys.json").unlink()
    with pytest.raises(ConfigError, match=r"the keys of `http.*` cannot be read from"):
        Users.open(settings, tenant="default")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"audience": []}, "audience"),
        ({"url": "login.example.org"}, "is no address"),
        ({"tenant": "a", "tenant_claim": "b"}, "leave one out"),
        ({"prefix": "a:b"}, "prefix"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], why: str) -> None:
    issuer = {"url": "https://login.example.org", "audience": "a", **settings}
    with pytest.raises(ConfigError, match=why):
        read_table(IdentitySettings, {"issuers": {"corp": issuer}}, where="the test")
    with pytest.raises(ConfigError, match="by https only"):
        Users({"x": TrustedIssuer(url="http://login.example.org", audience=("a",))}, tenant="t")
