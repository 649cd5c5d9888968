"""Every policy on the pages about policies loads, against tools as the pages speak of them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure.governance.policy import Policies, PolicyFile, PolicySchema, ToolForm
from perdure.governance.policy.schema import ANSWER_FORM
from tests.docs.page import blocks

PAGES = [Path(__file__).resolve().parents[2] / "docs" / name for name in ("policies.md", "confidence.md")]
TOOLS = {
    "pay": {"iban": "string", "cents": "integer"},
    "refund": {"order": "string", "cents": "integer"},
    "send_mail": {"to": "string", "text": "string"},
}
POLICIES = [
    block for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) if block.language == "cedar"
]


def schema() -> PolicySchema:
    tools = [
        ToolForm(
            name,
            "write",
            {"type": "object", "properties": {n: {"type": t} for n, t in of.items()}, "required": list(of)},
        )
        for name, of in TOOLS.items()
    ]
    return PolicySchema(["payables", "desk"], [*tools, ANSWER_FORM])


@pytest.mark.parametrize("block", POLICIES, ids=lambda block: f"line {block.line}")
def test_it_loads(block: object) -> None:
    text = block.code  # type: ignore[attr-defined]
    if "permit" not in text:
        text += '\n@id("anything") permit (principal, action, resource);'
    Policies([PolicyFile("organisation", "policies.md", text)], schema(), where="policies.md")


def test_there_are_some() -> None:
    assert len(POLICIES) >= 2
