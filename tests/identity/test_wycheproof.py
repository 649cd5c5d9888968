"""Project Wycheproof's vectors of JSON Web Signatures against what reads tokens here.

They are not ours to carry along: `git clone https://github.com/C2SP/wycheproof`, and
`PERDURE_WYCHEPROOF=.../wycheproof/testvectors_v1 pytest tests/identity/test_wycheproof.py`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from perdure.identity.signatures import ALGORITHM, SignedText

VECTORS = Path(os.environ.get("PERDURE_WYCHEPROOF", "testvectors_v1"), "json_web_signature_test.json")


def accepted(text: Any, key: dict[str, Any]) -> bool:
    try:
        found: Any = import_key(key)
        return isinstance(text, str) and SignedText.read(text).signed_by(found)
    except (ValueError, JoseError):
        return False


def is_ours(key: dict[str, Any]) -> bool:
    return key.get("kty") == "EC" and key.get("alg") == ALGORITHM


@pytest.mark.skipif(not VECTORS.exists(), reason=f"no vectors at `{VECTORS}`: see the top of the file")
def test_what_is_forged_is_refused_and_what_is_good_is_taken() -> None:
    told = json.loads(VECTORS.read_text(encoding="utf-8"))
    counted: Counter[str] = Counter()
    for group in told["testGroups"]:
        key = group.get("public") or group["private"]
        for vector in group["tests"]:
            good = vector["result"] == "valid" and is_ours(key)
            assert accepted(vector["jws"], key) == good, (vector["tcId"], vector["comment"])
            counted["good" if good else "refused"] += 1
    assert counted["good"] >= 2
    assert counted["refused"] >= 300
