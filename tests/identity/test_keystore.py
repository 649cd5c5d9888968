"""Keys at rest: sealed, bound to whose they are, changed by one process at a time; and names of agents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import ConfigError
from perdure.identity.keys import KeyOwner, Keyring
from perdure.identity.keystore import FileKeyStore
from perdure.identity.names import AgentId
from perdure.identity.sealing import CannotUnseal, MasterKeys
from perdure.testing import ManualClock
from tests.identity.conftest import OWNER


def the_file(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "keys").glob("*/*.json")
    return found


def test_a_key_is_the_same_in_the_next_process_and_stands_nowhere_in_the_clear(
    ring: Keyring, tmp_path: Path, master: MasterKeys, clock: ManualClock
) -> None:
    key = ring.signing()
    again = Keyring(FileKeyStore(tmp_path / "keys", master), OWNER, clock).signing()

    assert again.kid == key.kid
    private = str(key.key.as_dict(private=True)["d"])
    assert again.key.as_dict(private=True)["d"] == private
    text = the_file(tmp_path).read_text()
    assert private not in text
    assert private not in repr(key)
    assert the_file(tmp_path).stat().st_mode & 0o077 == 0


def test_another_master_key_opens_nothing(ring: Keyring, tmp_path: Path, clock: ManualClock) -> None:
    ring.signing()
    stranger = MasterKeys.read(MasterKeys.new(), where="the test")
    with pytest.raises(CannotUnseal, match="which is not here"):
        Keyring(FileKeyStore(tmp_path / "keys", stranger), OWNER, clock).signing()


def test_a_key_that_was_moved_to_another_agent_does_not_open(
    ring: Keyring, keystore: FileKeyStore, tmp_path: Path, clock: ManualClock
) -> None:
    ring.signing()
    other = KeyOwner(AgentId.of("example.org", "acme", "admin"), "1")
    told = json.loads(the_file(tmp_path).read_text()) | {"agent": str(other.agent)}
    (tmp_path / "keys" / "acme" / "admin@1.json").write_text(json.dumps(told))
    with pytest.raises(CannotUnseal, match="sealed for something else"):
        Keyring(keystore, other, clock).signing()


@pytest.mark.parametrize("text", ["", "{", '{"format": 2}', '{"format": 1, "agent": 3}', "\x00"])
def test_a_damaged_file_is_named_and_not_replaced(
    ring: Keyring, keystore: FileKeyStore, tmp_path: Path, clock: ManualClock, text: str
) -> None:
    ring.signing()
    path = the_file(tmp_path)
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        Keyring(keystore, OWNER, clock).signing()
    assert path.read_text() == text


CHILD = """
import sys
from pathlib import Path
from perdure.core.clock import SystemClock
from perdure.identity.keys import Keyring, KeyOwner
from perdure.identity.keystore import FileKeyStore
from perdure.identity.names import AgentId
from perdure.identity.sealing import MasterKeys
folder = Path(sys.argv[1])
owner = KeyOwner(AgentId.of("example.org", "acme", "payables"), "1")
print(Keyring(FileKeyStore(folder / "keys", MasterKeys.open(folder / "master")), owner, SystemClock()).signing().kid)
"""


def test_processes_that_begin_together_make_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_MASTER_KEY", raising=False)
    master = tmp_path / "master"
    master.write_text(MasterKeys.new())
    master.chmod(0o600)
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({child.communicate()[0] for child in children}) == 1
    assert [child.returncode for child in children] == [0] * 4


def test_a_new_master_key_in_front_of_the_old_opens_what_both_sealed() -> None:
    old, new = MasterKeys.new(), MasterKeys.new()
    sealed = MasterKeys.read(old, where="the test").seal(b"secret", context="x")
    both = MasterKeys.read(f"{new}\n{old}\n", where="the test")

    assert both.unseal(sealed, context="x") == b"secret"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(b"secret", context="x"))
    with pytest.raises(CannotUnseal, match="changed, or sealed for something else"):
        both.unseal(sealed, context="y")
    with pytest.raises(CannotUnseal, match="changed"):
        both.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), context="x")
    for short in (b"", sealed[:9], sealed[:20], b"\2" + sealed[1:]):
        with pytest.raises(CannotUnseal, match="no known form"):
            both.unseal(short, context="x")


def test_a_master_key_that_others_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERDURE_MASTER_KEY", raising=False)
    path = tmp_path / "master"
    with pytest.raises(ConfigError, match="perdure identity init"):
        MasterKeys.open(path)
    path.write_text(MasterKeys.new())
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        MasterKeys.open(path)
    monkeypatch.setenv("PERDURE_MASTER_KEY", "c2hvcnQ=")
    with pytest.raises(ConfigError, match="5 bytes; it must have 32") as caught:
        MasterKeys.open(path)
    assert "c2hvcnQ" not in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "tenant", "agent"),
    [
        ("Example.org", "a", "b"),
        ("", "a", "b"),
        ("x", "..", "b"),
        ("x", "a", "b/c"),
        ("x", "a~", "b"),
        ("x", "a", ""),
    ],
)
def test_names_that_spiffe_does_not_know(domain: str, tenant: str, agent: str) -> None:
    with pytest.raises(ConfigError):
        AgentId.of(domain, tenant, agent)


def test_a_name_is_read_back() -> None:
    assert AgentId.parse(str(OWNER.agent)) == OWNER.agent
    for text in ("", "spiffe://x/t/a/agent/b/c", "https://x/t/a/agent/b", "spiffe://x/t/a/agent/"):
        with pytest.raises(ConfigError):
            AgentId.parse(text)
