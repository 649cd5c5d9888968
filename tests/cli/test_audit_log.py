"""`perdure audit`: the key, the log, what is sent, and a verification that says what was changed."""

from __future__ import annotations

import json
from pathlib import Path

import apsw

from .conftest import Cli


def audited(cli: Cli) -> str:
    """An order that was carried out, under a signed checkpoint that was sent to `away`; the verifier key."""
    cli.begin("order", "r", "--input", '{"item": "tea"}')
    cli.work()
    (made,) = cli("audit", "init", "--origin", "example.com/audit", "--json").lines
    (sent,) = cli("audit", "checkpoint", "--to", "away", "--json").lines
    assert sent["exports"][0]["error"] is None and sent["size"] >= 1
    return made["key"]


def test_a_log_that_is_sound(cli: Cli) -> None:
    key = audited(cli)
    (told,) = cli("audit", "verify", "--checkpoint", "away", "--key", key, "--json").lines
    assert told["sound"] and told["runs"] == 1 and told["behind"] == 0 and len(told["held"]) == 1
    answer = cli("audit", "verify")
    assert answer.code == 0
    assert "all are what was written" in answer.stdout and "signed by example.com/audit" in answer.stdout
    assert "against a log that was written anew as a whole only `--checkpoint FILE` helps" in answer.stderr


def test_what_was_changed_is_named_and_the_exit_code_says_so(cli: Cli) -> None:
    audited(cli)
    apsw.Connection("test.db").execute("update entries set payload = x'7b7d' where seq = 3")
    answer = cli("audit", "verify", "--json")
    assert answer.code == 1
    (told,) = answer.lines
    (fault,) = told["faults"]
    assert not told["sound"]
    assert (fault["what"], fault["run"], fault["entry"]) == ("run", "r", 3)
    spoken = cli("audit", "verify")
    assert spoken.code == 1 and "run `r`: entry 3" in spoken.stderr


def test_a_checkpoint_that_is_held_shows_a_log_written_anew(cli: Cli) -> None:
    key = audited(cli)
    connection = apsw.Connection("test.db")
    for table in ("audit_leaves", "audit_tiles", "audit_checkpoints"):
        connection.execute(f"delete from {table}")
    connection.execute("update audit_cursor set n = 0")
    cli.begin("order", "other", "--input", '{"item": "milk"}')
    connection.execute("update entries set n = -n where rid = 2")  # it comes first now
    connection.execute("update audit_cursor set n = -1000")
    connection.close()
    assert cli("audit", "checkpoint").code == 0
    assert cli("audit", "verify", "--key", key).code == 0
    answer = cli("audit", "verify", "--key", key, "--checkpoint", "away/checkpoint")
    assert answer.code == 1 and "the checkpoint that you hold" in answer.stderr
    # and it is not sent where the other stands
    answer = cli("audit", "checkpoint", "--to", "away")
    assert answer.code == 1 and "is not the beginning of this audit log" in answer.stdout


def test_status_says_what_is_missing(cli: Cli) -> None:
    cli.begin("order", "r", "--input", '{"item": "tea"}')
    answer = cli("audit", "status")
    assert answer.code == 0
    assert (
        "1 runs" in answer.stdout
        and "`perdure audit init` makes the key" in answer.stdout
        and "nowhere" in answer.stdout
    )
    (told,) = cli("audit", "status", "--json").lines
    assert (told["size"], told["lag"]["runs"], told["checkpoint"]) == (0, 1, None)
    Path("away").write_text("a file")
    assert cli("audit", "init").code == 0
    assert cli("audit", "checkpoint", "--to", "away").code == 1
    (told,) = cli("audit", "status", "--json").lines
    assert told["size"] == 1 and "away" in told["exports"][0]["error"]
    assert cli("audit", "status").code == 1
    assert "away" in cli("doctor").stdout


def test_bad_input(cli: Cli) -> None:
    cli.begin("order", "r", "--input", '{"item": "tea"}')
    assert "`perdure audit init` makes one" in cli("audit", "key").stderr
    assert "`perdure audit init` makes one" in cli("audit", "checkpoint").stderr
    assert "NAME+HASH+BASE64" in cli("audit", "verify", "--key", "nonsense").stderr
    assert "cannot be read" in cli("audit", "verify", "--checkpoint", "nowhere").stderr
    assert "cannot name a key" in cli("audit", "init", "--origin", "two words").stderr
    assert cli("audit", "init").code == 0
    assert "has a key already" in cli("audit", "init").stderr
    assert "nothing says whose log" in cli("audit", "verify", "--export", ".").stderr
    assert "no signed checkpoint yet" in cli("audit", "prove", "r").stderr
    assert cli("audit", "prove", "nobody").code == 4


def test_a_bundle_in_one_file_is_verified_without_the_store(cli: Cli) -> None:
    key = audited(cli)
    assert cli("audit", "export", "--all", "--out", "b.zip").code == 0
    Path("test.db").rename("gone.db")
    (told,) = cli("audit", "verify", "--export", "b.zip", "--key", key, "--json").lines
    assert told["sound"] and told["runs"] == 1 and told["export"] == "b.zip"
    Path("b.zip").write_bytes(b"PK no zip")
    assert (
        "neither a folder nor a readable .zip"
        in cli("audit", "verify", "--export", "b.zip", "--key", key).stderr
    )


def test_the_proof_of_a_run_is_json(cli: Cli) -> None:
    key = audited(cli)
    from perdure.audit import Proof, VerifierKey, verify_proof

    proof = Proof.from_json(json.dumps(cli("audit", "prove", "r", "--json").lines[0]))
    assert proof.leaf.run.id == "r"
    verify_proof(proof, [VerifierKey.parse(key)])
