"""Notes, keys and cosignatures are those of Go's `sumdb/note` and of C2SP, byte for byte."""

from __future__ import annotations

import base64

import pytest

from perdure.audit import Checkpoint, Signature, SignedNote, Signer, VerifierKey, open_checkpoint
from perdure.audit.notes import WITNESS
from perdure.core.errors import BadSignature, ConfigError

# of Go's golang.org/x/mod/sumdb/note
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETERS = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
ENOCHS = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"

# of c2sp.org/tlog-cosignature
SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SOFAS = (
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
WITNESSS = (
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def test_a_note_is_signed_as_go_signs_it() -> None:
    signer = Signer("PeterNeumann", PETERS_SEED)
    assert str(signer.verifier) == PETER
    assert str(SignedNote(TEXT, (signer.sign(TEXT),))) == f"{TEXT}\n{PETERS}"
    assert repr(PETERS_SEED) not in repr(signer) and "private" not in repr(signer)


def test_signatures_of_known_keys_are_checked_and_others_left_aside() -> None:
    note = SignedNote.parse(f"{TEXT}\n{PETERS}{ENOCHS}")
    peter, enoch = VerifierKey.parse(PETER), VerifierKey.parse(ENOCH)
    assert note.text == TEXT and str(note) == f"{TEXT}\n{PETERS}{ENOCHS}"
    assert [v.name for v in note.verify([peter])] == ["PeterNeumann"]
    assert [v.name for v in note.verify([enoch, peter])] == ["PeterNeumann", "EnochRoot"]
    with pytest.raises(BadSignature, match="trusted is no key"):
        note.verify([])
    with pytest.raises(BadSignature, match="signed by `PeterNeumann"):
        SignedNote.parse(f"{TEXT}\n{PETERS}").verify([enoch])


def test_a_bad_signature_of_a_known_key_is_worse_than_none() -> None:
    bent = f"{TEXT}\n{PETERS}{ENOCHS[:40]}ABCD{ENOCHS[44:]}"
    keys = [VerifierKey.parse(PETER), VerifierKey.parse(ENOCH)]
    with pytest.raises(BadSignature, match="`EnochRoot` does not fit"):
        SignedNote.parse(bent).verify(keys)
    with pytest.raises(BadSignature, match="does not fit"):
        SignedNote.parse(f"{TEXT}\n{PETERS}".replace("cryptography", "Cryptography")).verify(keys)


@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}\n{PETERS[:-1]}",
        f"\x01{TEXT}\n{PETERS}",
        b"\xff" + f"{TEXT}\n{PETERS}".encode(),
        f"{TEXT}\n— Bad Name x08go/ZJkuBS9UG/SffcvA==\n",
        f"{TEXT}\n{PETERS}Unexpected line.\n",
        f"{TEXT}\n{PETERS * 65}",
        f"{TEXT}\n— PeterNeumann\n",
        f"{TEXT}\n— PeterNeumann AAAA\n",
        f"\n\n{PETERS}"[1:],
    ],
)
def test_what_is_no_note(note: str | bytes) -> None:
    with pytest.raises(BadSignature):
        SignedNote.parse(note)


def test_keys_that_were_damaged_are_refused() -> None:
    for i in range(len(PETER)):
        for j in range(i + 1, len(PETER) + 1):
            if (i, j) != (0, len(PETER)):
                with pytest.raises(ConfigError):
                    VerifierKey.parse(PETER[i:j])
    for bad in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER.replace("+c7", "+C7"),
        "",
    ):
        with pytest.raises(ConfigError):
            VerifierKey.parse(bad)


def test_the_example_of_a_cosignature() -> None:
    note = SignedNote.parse(f"{SOFA}\n{SOFAS}{WITNESSS}")
    witness = note.signatures[1]
    assert (witness.name, witness.id.hex()) == ("witness.example.com/w1", "8d66cf3f")
    assert int.from_bytes(witness.value[:8]) == 1679315147
    assert len(witness.value) == 72 and witness.line() == WITNESSS
    opened = open_checkpoint(f"{SOFA}\n{SOFAS}{WITNESSS}")
    assert (opened.checkpoint.origin, opened.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert opened.checkpoint.text() == SOFA


def test_a_witness_says_when() -> None:
    log, witness = Signer.new("example.com/log"), Signer.new("witness.example", type=WITNESS)
    note = Checkpoint("example.com/log", 5, bytes(range(32))).signed(log)
    both = note.with_signatures([witness.sign(note.text, at=1_700_000_000)])
    key = VerifierKey.parse(str(witness.verifier))
    found = open_checkpoint(str(both), [log.verifier, key]).signed_by
    assert [(v.name, v.at) for v in found] == [("example.com/log", None), ("witness.example", 1_700_000_000)]

    # an earlier time than was signed, and the log's own key as a witness's
    value = both.signatures[1].value
    moved = Signature(key.name, key.id, (1_600_000_000).to_bytes(8) + value[8:])
    with pytest.raises(BadSignature, match=r"witness\.example"):
        note.with_signatures([moved]).verify([key])
    assert VerifierKey("example.com/log", log.verifier.public, WITNESS).id != log.verifier.id


def test_a_newer_signature_takes_the_place_of_the_older() -> None:
    witness = Signer.new("witness.example", type=WITNESS)
    note = (
        SignedNote(SOFA, ())
        .with_signatures([witness.sign(SOFA, at=1)])
        .with_signatures([witness.sign(SOFA, at=2)])
    )
    assert [v.at for v in note.verify([witness.verifier])] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n",
        "log\n5\n",
        "\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n05\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n-5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n٥\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2=\n",
        "log\n5\nAAAA\n",
        "log\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nmore\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(BadSignature, match="no checkpoint"):
        Checkpoint.parse(text)


def test_extension_lines_are_kept() -> None:
    told = Checkpoint("log", 0, bytes(32), ("more", "and more"))
    assert Checkpoint.parse(told.text()) == told


def test_names_that_no_key_can_have() -> None:
    for name in ("", "two words", "a+b", "line\nbreak"):
        with pytest.raises(ConfigError, match="cannot name a key"):
            Signer.new(name)
