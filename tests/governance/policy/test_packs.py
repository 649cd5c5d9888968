"""The starter packs that look at how far an agent is trusted."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.core.rings import Ring
from perdure.governance.policy import Decision, Policies, PolicyCall, PolicySchema, ToolForm, judge
from perdure.governance.policy.packs import pack


@pytest.fixture
def production() -> Policies:
    form: dict[str, Any] = {"type": "object", "properties": {}}
    schema = PolicySchema(["ops"], [ToolForm("restart", "write", form, zone="production")])
    return Policies([pack("production-change")], schema, where="packs")


@pytest.mark.parametrize("ring", list(Ring))
def test_a_change_of_production_takes_two_people_until_the_agent_has_earned_its_trust(
    production: Policies, ring: Ring
) -> None:
    def asked(**what: Any) -> Any:
        told = {"hour": 10, "weekday": 3, **what}
        call = PolicyCall(agent="ops", tool="restart", arguments={}, tenant="acme", ring=str(ring), **told)
        return judge(production, call)

    people = 1 if ring is Ring.ACT_AND_VERIFY else 2
    assert asked().decision == Decision.NEEDS_APPROVAL
    assert list(asked().gates) == [("operations", people)]
    assert asked(approvals=frozenset({"operations"})).decision == Decision.ALLOW
    assert asked(hour=3).decision == Decision.DENY
    assert asked(untrusted=frozenset({"host"})).decision == Decision.DENY
