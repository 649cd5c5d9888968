"""What a trust domain publishes, from a real server: a receiver needs nothing else to check a call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from perdure.core.clock import SystemClock
from perdure.identity.broker import DISCOVERY, JWKS, Broker
from perdure.identity.digests import arguments_digest
from perdure.identity.documents import Documents
from perdure.identity.fetching import FetchedKeys
from perdure.identity.keystore import FileKeyStore
from perdure.identity.proofs import ProofKey
from perdure.identity.sealing import MasterKeys
from perdure.identity.tokens import Call, Delegation
from perdure.identity.verification import NotAuthorised, Verifier

BANK = "https://bank.example.com"


@pytest.fixture
def broker(tmp_path: Path, master: MasterKeys) -> Broker:
    store = FileKeyStore(tmp_path / "keys", master)
    return Broker(store, trust_domain="example.org", issuer="http://127.0.0.1")


@pytest.fixture
def served(broker: Broker) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(Documents(broker), port=0, log_level="error", lifespan="on"))
    ready = threading.Event()
    startup = server.startup

    async def started(*args: object, **kwargs: object) -> None:
        await startup(*args, **kwargs)  # type: ignore[arg-type]
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(30)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    broker.issuer_url = url
    yield url
    server.should_exit = True
    thread.join()


def test_a_receiver_needs_nothing_else(broker: Broker, served: str) -> None:
    issuer = broker.issuer(broker.owner("acme", "payables", "1"))
    key = ProofKey(SystemClock())
    call = Call(tenant="acme", run="r1", step="pay", tool="pay", arguments=arguments_digest({}))
    token = issuer.mint(call, Delegation("user:ada"), audience=BANK, proof_key=key.thumbprint)
    keys = FetchedKeys([served])
    proof = key.prove(token, method="POST", url=f"{BANK}/pay")

    caller = Verifier(BANK, keys).verify(f"DPoP {token}", proof, method="POST", url=f"{BANK}/pay")

    assert caller.agent == "spiffe://example.org/t/acme/agent/payables"
    with pytest.raises(NotAuthorised, match="not known"):
        stranger = FetchedKeys(["https://elsewhere.example.com"])
        proof = key.prove(token, method="POST", url=f"{BANK}/pay")
        Verifier(BANK, stranger).verify(f"DPoP {token}", proof, method="POST", url=f"{BANK}/pay")


def test_the_documents_may_be_kept_and_hold_no_private_half(broker: Broker, served: str) -> None:
    broker.issuer(broker.owner("acme", "payables", "1")).ring.signing()

    answer = httpx.get(f"{served}/{JWKS}")

    assert answer.headers["cache-control"] == "public, max-age=300"
    assert [sorted(key) for key in answer.json()["keys"]] == [["alg", "crv", "kid", "kty", "use", "x", "y"]]
    assert httpx.get(f"{served}/{DISCOVERY}").json()["jwks_uri"] == f"{served}/{JWKS}"
    assert httpx.head(f"{served}/{JWKS}").content == b""


def test_there_is_nothing_else_to_be_had(served: str) -> None:
    assert httpx.get(f"{served}/keys").status_code == 404
    assert httpx.get(f"{served}/.well-known/../{JWKS}x").status_code == 404
    refused = httpx.post(f"{served}/{JWKS}")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
