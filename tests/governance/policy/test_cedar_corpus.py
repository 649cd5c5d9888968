"""Cedar's own tests, through our wrapping: the verdicts are Cedar's, but that an error in a policy is a no.

They are fetched by `python tools/fetch_cedar_corpus.py`; another place of theirs: `PERDURE_CEDAR_CORPUS`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

import cedarpy

from perdure.governance.policy.policies import Bench, Layer, Policy
from perdure.governance.policy.statements import statements
from perdure.governance.policy.verdict import Decision, decided

ROOT = Path(__file__).parents[3]
CORPUS = Path(os.environ.get("PERDURE_CEDAR_CORPUS", ROOT / ".cache/cedar-integration-tests"))
fetched = pytest.mark.skipif(
    not (CORPUS / "tests").is_dir(), reason="no Cedar corpus here: `python tools/fetch_cedar_corpus.py`"
)


def bench_of(text: str) -> Bench:
    """The policies as our own reading takes them apart and puts them together again."""
    found = list(statements(text, "corpus"))
    again = "\n".join(statement.text for statement in found)
    compiled = cedarpy.PolicySet.from_str(again)
    try:
        templates = compiled.to_pst().static_policies
    except (
        ValueError
    ):  # of which no tree can be made (a call with too many arguments): it would not load here
        templates = {}
    assert len(templates) in (0, len(found)), "each statement is one policy"
    policies = {
        f"policy{i}": Policy(
            id=f"policy{i}",
            effect="forbid" if statement.text.lstrip().startswith("forbid") else "permit",
            statement=statement,
            gated=False,
            evidence=False,
            role=None,
            quorum=1,
            reason="",
            template=templates.get(f"policy{i}"),
        )
        for i, statement in enumerate(found)
    }
    return Bench([Layer("organisation", compiled, policies)], constant=False)


def tried(files: Sequence[Path]) -> Counter[str]:
    """Hold our verdicts to theirs; how many there were."""
    count: Counter[str] = Counter()
    for file in files:
        told: dict[str, Any] = json.loads(file.read_text())
        text = (CORPUS / told["policies"]).read_text()
        bench = bench_of(text)
        schema = cedarpy.Schema.from_str((CORPUS / told["schema"]).read_text())
        entities = cedarpy.Entities.from_json_str((CORPUS / told["entities"]).read_text(), schema)
        valid = cedarpy.validate_policies(text, schema).validation_passed
        assert valid == told["shouldValidate"], file.name
        if bench.layers[0].policies and next(iter(bench.layers[0].policies.values())).template is None:
            count["tests whose policies we do not load"] += 1
        for request in told["requests"]:
            asked = {name: request[name] for name in ("principal", "action", "resource")}
            asked["context"] = json.dumps(request["context"])
            verdict = decided(
                bench, asked, entities, schema if request.get("validateRequest", True) else None
            )
            place = f"{file.name}: {request['description']}"
            assert verdict is not None, place
            if request["errors"]:
                assert (verdict.decision, bool(verdict.errors)) == (Decision.DENY, True), place
                count["a no, as a policy failed", f"Cedar: {request['decision']}"] += 1  # type: ignore[index]
                continue
            assert verdict.decision == request["decision"], place
            assert set(verdict.policies) == set(request["reason"]), place
            count[request["decision"]] += 1
        count["tests"] += 1
    return count


@fetched
def test_the_examples_that_are_written_by_hand() -> None:
    files = [f for f in sorted((CORPUS / "tests").rglob("*.json"))]
    count = tried(files)
    assert count["tests"] == len(files) >= 20


@fetched
@pytest.mark.soak
def test_the_generated_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    if not (CORPUS / "corpus-tests").is_dir():
        pytest.skip("only the tests by hand are here: `python tools/fetch_cedar_corpus.py`")
    files = sorted(f for f in (CORPUS / "corpus-tests").glob("*.json") if ".entities." not in f.name)
    count = tried(files)
    with capsys.disabled():
        print(f"\n{dict(count)}")
    assert count["tests"] == len(files) >= 5000
