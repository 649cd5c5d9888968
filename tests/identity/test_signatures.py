"""One token has one spelling: what differs by a letter is another text, and not signed."""

from __future__ import annotations

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from perdure.identity.digests import base64url
from perdure.identity.signatures import ALGORITHM, SignedText

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def key() -> ECKey:
    return ECKey.generate_key("P-256")


@pytest.fixture
def text(key: ECKey) -> str:
    return jws.serialize_compact({"alg": ALGORITHM}, b'{"sub":"ada"}', key, algorithms=[ALGORITHM])


def test_what_a_library_signs_is_read(key: ECKey, text: str) -> None:
    found = SignedText.read(text)
    assert found.signed_by(key)
    assert (found.header, found.payload) == ({"alg": ALGORITHM}, b'{"sub":"ada"}')


def test_another_key_and_a_key_for_something_else(key: ECKey, text: str) -> None:
    found = SignedText.read(text)
    assert not found.signed_by(ECKey.generate_key("P-256"))
    assert not found.signed_by(ECKey.generate_key("P-384"))
    for other in ({"use": "enc"}, {"alg": "ES384"}, {"key_ops": ["sign"]}):
        assert not found.signed_by(ECKey.import_key({**key.as_dict(private=False), **other}))


def test_a_signature_by_another_algorithm_is_none(key: ECKey, text: str) -> None:
    other = RSAKey.generate_key(2048)
    signed = jws.serialize_compact({"alg": "RS256"}, b"{}", other, algorithms=["RS256"])
    assert not SignedText.read(signed).signed_by(key)
    # over a signature that would be good by the one that is taken
    assert not SignedText.read(text)._replace(header={"alg": "none"}).signed_by(key)


def test_a_longer_spelling_of_the_same_numbers(key: ECKey, text: str) -> None:
    signature = SignedText.read(text).signature
    longer = signature[:32] + b"\0" + signature[32:]
    found = SignedText.read(text.rpartition(".")[0] + "." + base64url(longer))
    assert not found.signed_by(key)


@pytest.mark.parametrize("change", ["last letter", "padding", "blank", "newline", "parts", "no object"])
def test_another_spelling_is_not_read(text: str, change: str) -> None:
    head, payload, signature = text.split(".")
    last = ALPHABET[ALPHABET.index(signature[-1]) ^ 1]  # a bit that stands for nothing
    spelt = {
        "last letter": f"{head}.{payload}.{signature[:-1]}{last}",
        "padding": f"{head}.{payload}.{signature}==",
        "blank": f"{head}.{payload}. {signature}",
        "newline": f"{head}.{payload}.{signature}\n",
        "parts": f"{head}.{payload}",
        "no object": f"{base64url(b'[]')}.{payload}.{signature}",
    }[change]
    with pytest.raises(ValueError, match=r"part|object"):
        SignedText.read(spelt)
