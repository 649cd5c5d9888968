from __future__ import annotations

from pathlib import Path

import pytest

from perdure.identity.keys import KeyOwner, Keyring
from perdure.identity.keystore import FileKeyStore
from perdure.identity.names import AgentId
from perdure.identity.proofs import ProofKey
from perdure.identity.sealing import MasterKeys
from perdure.identity.tokens import Issuer
from perdure.testing import ManualClock

ISSUER = "https://agents.example.org"
OWNER = KeyOwner(AgentId.of("example.org", "acme", "payables"), "1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def master() -> MasterKeys:
    return MasterKeys.read(MasterKeys.new(), where="the test")


@pytest.fixture
def keystore(tmp_path: Path, master: MasterKeys) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys", master)


@pytest.fixture
def ring(keystore: FileKeyStore, clock: ManualClock) -> Keyring:
    return Keyring(keystore, OWNER, clock)


@pytest.fixture
def issuer(ring: Keyring, clock: ManualClock) -> Issuer:
    return Issuer(ISSUER, ring, clock)


@pytest.fixture
def proof_key(clock: ManualClock) -> ProofKey:
    return ProofKey(clock)
