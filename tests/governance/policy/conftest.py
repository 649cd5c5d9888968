from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure.governance.policy import Policies, PolicyCall, PolicyFile, PolicySchema, ToolForm

PAY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "payee": {"type": "string"},
        "cents": {"type": "integer"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "required": ["payee", "cents"],
}
LOOK: dict[str, Any] = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}


@pytest.fixture
def schema() -> PolicySchema:
    tools = [ToolForm("pay", "write", PAY), ToolForm("look", "read", LOOK)]
    return PolicySchema(["desk", "clerk"], tools)


@pytest.fixture
def load(schema: PolicySchema) -> Callable[..., Policies]:
    """Policies of the organisation, and of further layers by name."""

    def made(organisation: str, **layers: str) -> Policies:
        files = [PolicyFile("organisation", "organisation.cedar", organisation)]
        files += [PolicyFile(name.replace("_", " "), f"{name}.cedar", text) for name, text in layers.items()]
        return Policies(files, schema, where="policies")

    return made


def call(tool: str = "pay", *, agent: str = "desk", **what: Any) -> PolicyCall:
    arguments = what.pop("arguments", {"payee": "Ada", "cents": 100} if tool == "pay" else {"q": "x"})
    return PolicyCall(agent=agent, tool=tool, arguments=arguments, tenant="acme", **what)
