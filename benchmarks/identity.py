"""What a token costs: minted, proven, verified; beside the library that signs, in the same run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from perdure.core.clock import SystemClock
from perdure.core.identity_settings import IdentitySettings
from perdure.identity import Call, Delegation, MasterKeys, ProofKey, arguments_digest, request_digest
from perdure.identity.broker import JWKS, Broker
from perdure.verify import StaticKeys, Verifier

from .workload import Measured

__all__ = ["library", "tokens"]

ALGORITHM = "ES256"
BODY = b'{"to": "Ada", "amount": 12}'
URL = "https://bank.example.com/payments"


def _micros(work: Callable[[], object], *, seconds: float) -> float:
    """The best of many short rounds: CPU microseconds a call."""
    rounds, calls, until = [], 50, time.perf_counter() + seconds
    while not rounds or time.perf_counter() < until:
        began = time.process_time()
        for _ in range(calls):
            work()
        rounds.append((time.process_time() - began) / calls * 1e6)
    return min(rounds)


def library(*, seconds: float) -> Measured:
    """One signature and one check of a text as long as a token's claims."""
    key = ECKey.generate_key("P-256")
    text = b"x" * 500
    signed = jws.serialize_compact({"alg": ALGORITHM}, text, key, algorithms=[ALGORITHM])

    def sign() -> str:
        return jws.serialize_compact({"alg": ALGORITHM}, text, key, algorithms=[ALGORITHM])

    def check() -> Any:
        return jws.deserialize_compact(signed, key, algorithms=[ALGORITHM])

    return {
        "signed": (_micros(sign, seconds=seconds / 2), "us"),
        "checked": (_micros(check, seconds=seconds / 2), "us"),
    }


def tokens(*, seconds: float) -> Measured:
    """A token for one call; a proof for one request with it; both checked, with the body, by the receiver."""
    with tempfile.TemporaryDirectory() as folder:
        master = Path(folder) / "master.key"
        master.touch(mode=0o600)
        master.write_text(MasterKeys.new())
        settings = IdentitySettings(trust_domain="example.org", keys=Path(folder) / "keys", master_key=master)
        broker = Broker.open(settings)
        issuer = broker.issuer(broker.owner("acme", "payables", "1"))
        key = ProofKey(SystemClock())
        call = Call(
            tenant="acme",
            run="r1",
            step="pay",
            tool="pay",
            arguments=arguments_digest({"to": "Ada", "amount": 12}),
            content=request_digest("", BODY),
        )

        def mint() -> str:
            return issuer.mint(
                call, Delegation("user:ada"), audience="https://bank.example.com", proof_key=key.thumbprint
            )

        token = mint()
        verifier = Verifier(
            "https://bank.example.com", StaticKeys({broker.issuer_url: broker.documents()[JWKS]})
        )
        minted = _micros(mint, seconds=seconds / 3)

        def prove() -> str:
            return key.prove(token, method="POST", url=URL)

        proven = _micros(prove, seconds=seconds / 3)
        # A proof is good once, and making one must not count.
        calls, rounds, until = 50, [], time.perf_counter() + seconds
        while not rounds or time.perf_counter() < until:
            proofs = [prove() for _ in range(calls)]
            began = time.process_time()
            for proof in proofs:
                verifier.verify(f"DPoP {token}", proof, method="POST", url=URL, content=BODY)
            rounds.append((time.process_time() - began) / calls * 1e6)
    return {"minted": (minted, "us"), "proven": (proven, "us"), "verified": (min(rounds), "us")}
