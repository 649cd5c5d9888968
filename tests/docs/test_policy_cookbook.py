"""Every recipe of the cookbook loads, and decides the cases that stand below it as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure.governance.policy import PolicyFile
from perdure.governance.policy.book import PolicyBook
from perdure.governance.policy.trials import read_cases, tried
from tests.docs.page import Block, blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy-cookbook.md"
FOUND = list(blocks(PAGE.read_text(encoding="utf-8")))
RECIPES = [
    (block, next((b for b in FOUND[i + 1 : i + 2] if b.language == "yaml"), None))
    for i, block in enumerate(FOUND)
    if block.language == "cedar"
]


@pytest.fixture(scope="module")
def app() -> Any:
    known: dict[str, Any] = {}
    exec(next(block.code for block in FOUND if block.language == "python"), known)
    return known["app"]


@pytest.mark.parametrize(("policies", "cases"), RECIPES, ids=lambda block: f"line {block.line}")
def test_a_recipe_decides_its_cases(policies: Block, cases: Block | None, app: Any, tmp_path: Path) -> None:
    assert cases is not None, "a recipe without cases is not tested"
    agents, tools = app.policies.forms()
    book = PolicyBook(
        [PolicyFile("organisation", "cookbook", policies.code)], agents=agents, tools=tools, where="cookbook"
    )
    (tmp_path / "cookbook.test.yaml").write_text(cases.code)
    outcomes = list(tried(book, read_cases(tmp_path)))
    assert [(o.case.name, o.verdict) for o in outcomes if not o.passed] == []
    decided = {o.verdict.decision for o in outcomes}
    assert len(decided) > 1, "a recipe that says the same of everything shows nothing"
    said = {id for o in outcomes for id in o.verdict.policies}
    assert said == {p.id for layer in book.policies.all().values() for p in layer}, (
        "each policy of it decides"
    )


def test_there_are_at_least_twelve() -> None:
    assert len(RECIPES) >= 12
