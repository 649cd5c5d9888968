"""The entry format: what it hashes to is frozen here and in docs/journal-format.md, and must never change."""

import hmac
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.errors import StoreCorrupt, StoreSealed, StoreTooNew
from perdure.core.ids import DEFAULT_TENANT, RunRef
from perdure.db.sealed.form import SubjectKey
from perdure.journal import (
    FORMAT,
    SEALED_BYTES,
    Codec,
    Entry,
    Fingerprints,
    Kind,
    Seals,
    commitment,
    entry_hash,
    fingerprint,
    genesis,
    seal,
    verify_chain,
)
from perdure.testing import JournalBuilder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "journal-format.md"

REF = RunRef("acme", "order-1")
KEY = bytes(range(32))
GENESIS = "dae5c232e98891c2430f0d6356a87976d46ff6d248c2b0e224b26a56aaf23a22"
FINGERPRINT = "7a7688ea95091f7623f9eb2bf193a748"
COMMITMENTS = [
    "9f44911cbd33698221e3b3934fed99b133716bd0df377a5928bbca8f6acb145d",
    "a89cebb81f61bcfa2363e7bfd37af2daacf4ffb80f80b28a4ce19bfce8a7f4f5",
    "5ac6a5945f16500911219129984ba8b387a06f24fe383ce4e81a73294065461b",
    "aa24f5bed52c5709f360b8f0865b2ed03bad9fbed75bd6354ff33ed4bb3b2d03",
]
HASHES = [
    "39059ba89782ad5f42865cf4e9193d3f384967379c236f17ddbf1b4211fea135",
    "1fdbe3a420dc4e15521c4c790044a389b3c25c65f4185ec1d0a7b8f98fdd75f9",
    "588f445d8558211eb391c5541911f97030801bfd47d65b387912498c7b3b63c8",
    "e5dddeaef7be5257332d04d50bd4a327480475ce044e9b9c7f1bb2809e7aaa93",
]
KINDS = {
    "STARTED": 1,
    "CLAIMED": 2,
    "RESULT": 3,
    "FAILED": 4,
    "INTENT": 5,
    "UNKNOWN": 6,
    "SETTLED": 7,
    "WAITING": 8,
    "MESSAGE": 9,
    "VALUE": 10,
    "DECISION": 11,
    "PROGRESS": 12,
    "DRIFT": 13,
    "SUSPENDED": 14,
    "MISMATCH": 15,
    "ENDED": 16,
    "ACCEPTED": 17,
    "CONTINUED": 18,
    "ATTEMPT": 19,
    "RESERVED": 20,
    "CHARGED": 21,
    "VERDICT": 22,
    "HEARTBEAT": 23,
    "OUTCOME": 24,
    "ESCALATION": 25,
    "COMPACTED": 26,
}


def vectors() -> list[Entry]:
    asked = bytes.fromhex(FINGERPRINT)
    rows = [
        (
            1,
            "",
            1767225600000000,
            0,
            "client",
            0,
            1,
            b"",
            bytes(range(16)),
            b'{"agent":"sales","input":{"order":1}}',
        ),
        (
            5,
            "pay:1",
            1767225601000000,
            0,
            "worker-1",
            1,
            1,
            asked,
            bytes(range(16, 32)),
            b'{"args":"\\u0000"}',
        ),
        (3, "pay:1", 1767225602500000, 1500000, "worker-1", 1, 0, asked, b"\xff" * 16, b""),
        (16, "größe", 2**63 - 1, 2**63 - 1, "né", 2**31, 1, bytes(16), bytes(16), bytes(range(256))),
    ]
    return [
        Entry(seq, 1, kind, key, at, took, actor, epoch, codec, mark, salt, payload, bytes.fromhex(digest))
        for seq, ((kind, key, at, took, actor, epoch, codec, mark, salt, payload), digest) in enumerate(
            zip(rows, HASHES, strict=True), start=1
        )
    ]


def chained(entries: list[Entry], *, ref: RunRef = REF) -> list[Entry]:
    """The same entries with hashes that fit, as a newer or a forging writer would make them."""
    last = genesis(ref)
    made: list[Entry] = []
    for e in entries:
        commit = commitment(e.salt, e.payload)
        last = entry_hash(
            last,
            e.format,
            e.kind,
            e.codec,
            e.seq,
            e.epoch,
            e.at,
            e.took,
            e.key,
            e.actor,
            e.fingerprint,
            commit,
        )
        made.append(e._replace(hash=last))
    return made


# the frozen format ---------------------------------------------------------------------------------------------


def test_the_format_is_frozen() -> None:
    assert FORMAT == 1
    assert genesis(REF).hex() == GENESIS
    assert fingerprint(KEY, b'{"amount":5}').hex() == FINGERPRINT
    assert [commitment(e.salt, e.payload).hex() for e in vectors()] == COMMITMENTS
    assert [e.hash.hex() for e in chained(vectors())] == HASHES
    assert verify_chain(REF, vectors()) == (4, bytes.fromhex(HASHES[-1]))


@given(key=st.binary(max_size=200), data=st.binary(max_size=300))
def test_prepared_fingerprints_are_hmac(key: bytes, data: bytes) -> None:
    prepared = Fingerprints(key)

    assert [prepared(data), prepared(data)] == [hmac.digest(key, data, "sha256")[:16]] * 2
    assert fingerprint(key, data) == prepared(data)


def test_seals_draw_a_salt_for_each_entry() -> None:
    seals, last, entries = Seals(1, "w"), genesis(REF), list[Entry]()
    for n in range(1, 51):
        entries.append(seals(last, Kind.RESULT, n, 7, 0, "s", b"", b"x"))
        last = entries[-1].hash

    assert verify_chain(REF, entries) == (50, last)
    assert len({e.salt for e in entries}) == 50


def test_the_numbers_are_frozen() -> None:
    assert {kind.name: kind.value for kind in Kind} == KINDS
    assert {codec.name: codec.value for codec in Codec} == {"NONE": 0, "JSON": 1, "SEALED": 128}


def test_the_page_has_the_same_vectors() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r'```json title="journal.json"\n(.*?)```', text, re.DOTALL)
    assert found
    journal = json.loads(found[1])
    assert (journal["tenant"], journal["run"]) == REF
    entries = [
        Entry(**{name: bytes.fromhex(e[name]) if name in BYTES else e[name] for name in Entry._fields})
        for e in journal["entries"]
    ]
    assert entries == vectors()
    assert all(f"`{digest}`" in text for digest in [GENESIS, FINGERPRINT, *COMMITMENTS])


def test_the_page_has_an_erased_entry_that_verifies() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r'```json\n(\{"seq": 2,.*?)```', text, re.DOTALL)
    assert found
    shown = json.loads(found[1])
    erased = Entry(
        **{name: bytes.fromhex(shown[name]) if name in BYTES else shown[name] for name in Entry._fields}
    )
    entries = vectors()
    whole = verify_chain(REF, entries)
    assert erased == entries[1]._replace(salt=b"", payload=commitment(entries[1].salt, entries[1].payload))
    entries[1] = erased
    assert erased.erased and verify_chain(REF, entries) == whole
    with pytest.raises(StoreCorrupt, match="entry 2 was erased"):
        verify_chain(REF, entries, whole=True)
    for wrong in (b"", erased.payload[:31], bytes(32)):
        entries[1] = erased._replace(payload=wrong)
        with pytest.raises(StoreCorrupt):
            verify_chain(REF, entries)


def test_the_page_has_an_encrypted_entry_that_verifies_and_opens() -> None:
    found = re.search(r'```json title="sealed"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    shown = json.loads(found[1])
    sealed = Entry(
        **{name: bytes.fromhex(shown[name]) if name in BYTES else shown[name] for name in Entry._fields}
    )
    entries = vectors()
    whole = verify_chain(REF, entries)
    assert SubjectKey("acme", "customer:1", KEY).open_entry(sealed) == entries[1]
    assert sealed.without_payload() == entries[1].without_payload()
    entries[1] = sealed
    assert sealed.sealed and sealed.erased and verify_chain(REF, entries) == whole
    with pytest.raises(StoreSealed, match="entry 2 is sealed"):
        verify_chain(REF, entries, whole=True)
    for wrong in (sealed.payload[:32], bytes(32) + sealed.payload[32:], sealed.payload[: SEALED_BYTES - 1]):
        entries[1] = sealed._replace(payload=wrong)
        with pytest.raises(StoreCorrupt):
            verify_chain(REF, entries)
    plain = vectors()[1]
    for wrong in (sealed._replace(codec=1), sealed._replace(codec=130), plain._replace(codec=129)):
        entries[1] = wrong
        with pytest.raises(StoreCorrupt):
            verify_chain(REF, entries)


def test_what_does_not_open_does_not_verify() -> None:
    """Its commitment may be right: who reads it sees bytes that were never written, and who verifies it is told."""
    key, other = (SubjectKey("acme", "customer:1", bytes([n]) * 32) for n in (1, 2))
    entries = vectors()
    sealed = [key.seal_entry(e) for e in entries]
    assert [key.open_entry(e) for e in sealed] == entries
    assert verify_chain(REF, sealed) == verify_chain(REF, entries)
    flipped = sealed[1]._replace(payload=sealed[1].payload[:-1] + bytes([sealed[1].payload[-1] ^ 1]))
    moved = sealed[1]._replace(payload=sealed[1].payload[:32] + sealed[0].payload[32:])
    for opened in (other.open_entry(sealed[1]), key.open_entry(flipped), key.open_entry(moved)):
        with pytest.raises(StoreCorrupt, match="entry 2"):
            verify_chain(REF, [entries[0], opened, *entries[2:]])


def test_the_page_names_every_kind() -> None:
    rows = re.findall(r"^\| (\d+) \| `([A-Z]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: int(number) for number, name in rows} == KINDS


def test_a_sealed_entry_verifies() -> None:
    mark = fingerprint(KEY, b"asked")
    first = seal(genesis(REF), Kind.STARTED, 1, 0, 7, 0, "", "client", b"", b'{"a": 1}')
    second = seal(first.hash, Kind.RESULT, 2, 1, 8, 3, "größe:1", "worker", mark, b"")

    assert verify_chain(REF, [first, second]) == (2, second.hash)
    assert (first.codec, second.codec) == (Codec.JSON, Codec.NONE)
    assert len(first.salt) == len(second.salt) == 16
    assert first.salt != second.salt
    assert second == (2, 1, 3, "größe:1", 8, 3, "worker", 1, 0, mark, second.salt, b"", second.hash)


def test_the_longest_names_verify() -> None:
    longest = seal(
        genesis(REF), Kind.RESULT, 1, 1, 7, 0, "é" * 32_767 + "k", "é" * 511 + "a", bytes(255), b""
    )

    assert verify_chain(REF, [longest]) == (1, longest.hash)


# what verification finds ---------------------------------------------------------------------------------------

BYTES = ("fingerprint", "salt", "payload", "hash")
CHANGES: dict[str, Callable[[Entry], Entry]] = {
    "kind": lambda e: e._replace(kind=e.kind ^ 1),
    "key": lambda e: e._replace(key=e.key[:-1] + chr(ord(e.key[-1]) ^ 1)),
    "at": lambda e: e._replace(at=e.at ^ 1),
    "at, high byte": lambda e: e._replace(at=e.at ^ 1 << 56),
    "took": lambda e: e._replace(took=e.took ^ 1),
    "actor": lambda e: e._replace(actor=e.actor[:-1] + chr(ord(e.actor[-1]) ^ 1)),
    "epoch": lambda e: e._replace(epoch=e.epoch ^ 1),
    "codec": lambda e: e._replace(codec=e.codec ^ 1),
    "fingerprint": lambda e: e._replace(fingerprint=bytes([e.fingerprint[0] ^ 1]) + e.fingerprint[1:]),
    "fingerprint, dropped": lambda e: e._replace(fingerprint=b""),
    "salt": lambda e: e._replace(salt=e.salt[:-1] + bytes([e.salt[-1] ^ 128])),
    "payload": lambda e: e._replace(payload=e.payload[:-1] + bytes([e.payload[-1] ^ 1])),
    "payload, cut": lambda e: e._replace(payload=e.payload[:-1]),
    "payload, dropped": lambda e: e._replace(payload=b"", salt=b""),
    "hash": lambda e: e._replace(hash=e.hash[:-1] + bytes([e.hash[-1] ^ 1])),
    "a byte moved from key to actor": lambda e: e._replace(key=e.key[:-1], actor=e.key[-1] + e.actor),
}


@pytest.fixture
def entries() -> list[Entry]:
    journal = JournalBuilder(REF, epoch=1)
    first = journal.entry(Kind.STARTED, payload=b'{"input": 1}')
    steps = [
        journal.entry(Kind.RESULT, f"step:{i}", b'"done"', at=5, took=2, fingerprint=fingerprint(KEY, b"x"))
        for i in range(3)
    ]
    return [first, *steps, journal.entry(Kind.ENDED, payload=b"{}")]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n", [2, 4])
def test_a_changed_field_is_found_and_named(entries: list[Entry], change: str, n: int) -> None:
    entries[n - 1] = CHANGES[change](entries[n - 1])

    with pytest.raises(StoreCorrupt, match=rf"run `acme:order-1`: entry {n} \(`step:"):
        verify_chain(REF, entries)


def test_a_change_with_a_new_hash_is_found_at_the_next_entry(entries: list[Entry]) -> None:
    forged = chained([*entries[:2], entries[2]._replace(payload=b'"forged"')])

    with pytest.raises(StoreCorrupt, match="entry 4 "):
        verify_chain(REF, [*forged, *entries[3:]])


def test_a_changed_entry_without_a_key_is_named_by_its_kind(entries: list[Entry]) -> None:
    with pytest.raises(StoreCorrupt, match=r"entry 1 \(`started`\)"):
        verify_chain(REF, [entries[0]._replace(payload=b"{}"), *entries[1:]])


@pytest.mark.parametrize("gone", [1, 2, 4])
def test_a_missing_entry_is_found(entries: list[Entry], gone: int) -> None:
    del entries[gone - 1]

    with pytest.raises(StoreCorrupt, match=rf"entry {gone} is missing \(found entry {gone + 1}\)"):
        verify_chain(REF, entries)


def test_a_missing_entry_is_found_though_the_others_were_numbered_again(entries: list[Entry]) -> None:
    del entries[2]
    numbered = [e._replace(seq=seq) for seq, e in enumerate(entries, start=1)]

    with pytest.raises(StoreCorrupt, match=r"entry 3 .* is not what was written"):
        verify_chain(REF, numbered)


def test_entries_in_another_order_are_found(entries: list[Entry]) -> None:
    swapped = [entries[0], entries[2], entries[1], *entries[3:]]
    with pytest.raises(StoreCorrupt, match="entry 2 is missing"):
        verify_chain(REF, swapped)

    numbered = [e._replace(seq=seq) for seq, e in enumerate(swapped, start=1)]
    with pytest.raises(StoreCorrupt, match=r"entry 2 .* is not what was written"):
        verify_chain(REF, numbered)


def test_an_entry_twice_is_found(entries: list[Entry]) -> None:
    with pytest.raises(StoreCorrupt, match="entry 3 is missing"):
        verify_chain(REF, [*entries[:2], entries[1], *entries[2:]])


def test_the_journal_of_another_run_is_found(entries: list[Entry]) -> None:
    for other in (RunRef("acme", "order-2"), RunRef(DEFAULT_TENANT, "order-1")):
        with pytest.raises(StoreCorrupt, match="entry 1 "):
            verify_chain(other, entries)


def test_a_part_is_verified_from_what_was_verified_before(entries: list[Entry]) -> None:
    whole = verify_chain(REF, entries)
    seq, last = verify_chain(REF, entries[:2])

    assert verify_chain(REF, entries[2:], after=seq, previous=last) == whole
    assert verify_chain(REF, [], after=seq, previous=last) == (seq, last)
    assert verify_chain(REF, []) == (0, genesis(REF))
    with pytest.raises(StoreCorrupt, match="entry 3 "):
        verify_chain(REF, entries[2:], after=2, previous=entries[0].hash)


def test_entries_may_come_from_an_iterator(entries: list[Entry]) -> None:
    def stream() -> Iterator[Entry]:
        yield from entries

    assert verify_chain(REF, stream()) == (5, entries[-1].hash)


@pytest.mark.parametrize(
    ("field", "value"), [("kind", 27), ("kind", 0), ("kind", 255), ("codec", 2), ("format", 2)]
)
@pytest.mark.parametrize("n", [1, 3])
def test_what_a_newer_release_wrote_is_refused_as_such(
    entries: list[Entry], field: str, value: int, n: int
) -> None:
    entries[n - 1] = entries[n - 1]._replace(**{field: value})

    with pytest.raises(StoreTooNew, match=rf"entry {n} has .*{field} {value}.*upgrade"):
        verify_chain(REF, chained(entries))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 200},
        {"kind": 300},
        {"kind": -1},
        {"at": -1},
        {"epoch": 2**64},
        {"key": "x" * 70_000},
        {"actor": "x" * 70_000},
        {"key": "\udc80"},
    ],
    ids=[
        "unknown kind",
        "kind of two bytes",
        "negative kind",
        "at",
        "epoch",
        "long key",
        "long actor",
        "surrogate",
    ],
)
def test_values_that_no_writer_writes_are_corrupt(entries: list[Entry], change: dict[str, object]) -> None:
    entries[0] = entries[0]._replace(**change)

    with pytest.raises(StoreCorrupt, match="entry 1 "):
        verify_chain(REF, entries)


@pytest.mark.parametrize("shift", [1, -1, 6, -16])
def test_a_byte_moved_between_salt_and_payload_is_found(entries: list[Entry], shift: int) -> None:
    whole, at = entries[1].salt + entries[1].payload, 16 + shift
    entries[1] = entries[1]._replace(salt=whole[:at], payload=whole[at:])

    with pytest.raises(StoreCorrupt, match="entry 2 "):
        verify_chain(REF, entries)


# properties ----------------------------------------------------------------------------------------------------

NUMBER = st.integers(0, 2**63 - 1)
PART = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(Kind),
        "epoch": NUMBER,
        "at": NUMBER,
        "took": NUMBER,
        "key": st.text(max_size=50),
        "actor": st.text(max_size=50),
        "fingerprint": st.binary(max_size=255),
        "payload": st.binary(max_size=100),
    }
)


@given(st.lists(PART, min_size=1, max_size=5), st.data())
def test_any_chain_verifies_and_any_other_does_not(
    parts: list[dict[str, object]], data: st.DataObject
) -> None:
    last, sealed = genesis(REF), list[Entry]()
    for seq, part in enumerate(parts, start=1):
        sealed.append(seal(last, seq=seq, **part))
        last = sealed[-1].hash
    assert verify_chain(REF, sealed) == (len(sealed), last)

    n = data.draw(st.integers(0, len(sealed) - 1))
    other = sealed[n]._replace(
        **{name: value for name, value in data.draw(PART).items() if data.draw(st.booleans())}
    )
    if other != sealed[n]:
        with pytest.raises(StoreCorrupt):
            verify_chain(REF, [*sealed[:n], other, *sealed[n + 1 :]])
