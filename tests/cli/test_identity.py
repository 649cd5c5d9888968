"""`perdure identity`: from no key at all to a key set that a verifier of another process reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perdure.core.clock import SystemClock
from perdure.core.settings import load_settings
from perdure.identity import (
    Call,
    Caller,
    Delegation,
    NotAuthorised,
    ProofKey,
    StaticKeys,
    Verifier,
    arguments_digest,
)
from perdure.identity.broker import Broker
from tests.cli.conftest import Cli

BANK = "https://bank.example.com/"


@pytest.fixture(autouse=True)
def project(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_MASTER_KEY", raising=False)
    monkeypatch.chdir(cli.folder)
    (cli.folder / "perdure.toml").write_text('[identity]\ntrust_domain = "agents.example.org"\n')


def test_keys_are_made_shown_rotated_published_and_revoked(cli: Cli) -> None:
    assert cli("identity", "ls").code == 2, "no master key yet"
    assert "perdure identity init" in cli("identity", "ls").stderr
    master = Path(cli("identity", "init", "--json").json["master_key"])
    assert master.stat().st_mode & 0o077 == 0
    before = master.read_text()
    assert cli("identity", "init", "--json").json["made"] is False
    assert master.read_text() == before

    missing = cli("identity", "show", "desk")
    assert missing.code == 4
    assert "perdure identity rotate desk@VERSION" in missing.stderr
    first = cli("identity", "rotate", "desk@1", "--now", "--json").json[0]["made"]
    (second,) = cli("identity", "rotate", "desk", "--json").json
    assert second["agent"] == "spiffe://agents.example.org/t/default/agent/desk"
    assert second["signs"] == first, "verifiers have not seen the new one yet"
    assert "signs soon" in cli("identity", "show", "desk").stdout
    assert "desk" in cli("identity", "ls").stdout

    told = cli("identity", "publish", "site", "--json").json
    assert told["issuer"] == "https://agents.example.org"
    keys = json.loads((cli.folder / "site/.well-known/jwks.json").read_text())
    assert [key["kid"] for key in keys["keys"]] == [first, second["made"]]
    assert not [key for key in keys["keys"] if "d" in key], "public halves only"
    sent = call()
    assert received(sent, keys).agent == second["agent"]

    assert cli("identity", "revoke", "desk", first[:8], "--json").json["revoked"] == first
    assert cli("identity", "revoke", "desk", first[:8]).code == 4
    (after,) = cli("identity", "show", "desk", "--json").json
    assert after["signs"] not in (first, second["made"]), (
        "neither the revoked one nor one that is not known yet"
    )
    cli("identity", "publish", "site")
    keys = json.loads((cli.folder / "site/.well-known/jwks.json").read_text())
    with pytest.raises(NotAuthorised, match="not known"):
        received(sent, keys)
    assert received(call(), keys).subject == "user:ada"


def call() -> tuple[str, str]:
    """What an agent of this project sends: its token, and the proof."""
    broker = Broker.open(load_settings().identity)
    issuer = broker.issuer(broker.owner("default", "desk", "1"))
    key = ProofKey(SystemClock())
    admitted = Call(tenant="default", run="r", step="s", tool="pay", arguments=arguments_digest({}))
    token = issuer.mint(admitted, Delegation("user:ada"), audience=BANK, proof_key=key.thumbprint)
    return token, key.prove(token, method="GET", url=BANK)


def received(sent: tuple[str, str], keys: dict[str, Any]) -> Caller:
    """As a server sees it that has this key set."""
    token, proof = sent
    verifier = Verifier(BANK, StaticKeys({"https://agents.example.org": keys}))
    return verifier.verify(f"DPoP {token}", proof, method="GET", url=BANK)


def test_without_a_trust_domain_it_says_what_to_write(cli: Cli) -> None:
    (cli.folder / "perdure.toml").write_text("")
    answer = cli("identity", "ls")
    assert answer.code == 2
    assert "trust_domain" in answer.stderr
    assert "trust_domain" in cli("identity", "init").stderr
