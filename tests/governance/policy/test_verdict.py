"""Yes, no, or: ask a human. And whatever goes wrong is a no."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perdure.governance.policy import Decision, Policies, judge
from tests.governance.policy.conftest import call

Load = Callable[..., Policies]

ALL = '@id("all") permit (principal, action, resource);\n'
GRANT = """
@id("grant") @reason("the user may not pay")
forbid (principal, action == Action::"pay", resource) unless { context.user.grants.contains("payments:write") };
"""
LIMIT = """
@id("limit") @gate("human") @role("finance") @quorum("2") @reason("payments above 50 are approved")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 5000 }
unless { context.approvals.contains("finance") };
"""
GRANTED = frozenset({"payments:write"})
LARGE = {"payee": "Ada", "cents": 9000}


def test_nothing_that_no_policy_permits(load: Load) -> None:
    reads = load('@id("reads") permit (principal, action in Action::"read", resource);')
    assert judge(reads, call("look")).decision == Decision.ALLOW
    refused = judge(reads, call())
    assert refused.decision == Decision.DENY
    assert refused.why == "nothing in the policies (organisation) permits it"


def test_a_forbid_says_which_and_why(load: Load) -> None:
    policies = load(ALL + GRANT)
    assert judge(policies, call(grants=GRANTED)).policies == ["all"]
    refused = judge(policies, call())
    assert (refused.decision, refused.policies, refused.why) == (
        Decision.DENY,
        ["grant"],
        "the user may not pay",
    )


def test_behind_a_gate_a_human_is_asked_and_their_role_lets_it_pass(load: Load) -> None:
    policies = load(ALL + LIMIT)
    asked = judge(policies, call(arguments=LARGE))
    assert asked.decision == Decision.NEEDS_APPROVAL
    assert (asked.policies, list(asked.gates)) == (["limit"], [("finance", 2)])
    assert asked.why == "payments above 50 are approved"
    assert judge(policies, call(arguments=LARGE, approvals=frozenset({"finance"}))).decision == Decision.ALLOW
    other = judge(policies, call(arguments=LARGE, approvals=frozenset({"legal"})))
    assert other.decision == Decision.NEEDS_APPROVAL, "another role's approval is not theirs"


def test_no_approval_helps_against_what_has_no_gate(load: Load) -> None:
    policies = load(ALL + GRANT + LIMIT)
    assert judge(policies, call(arguments=LARGE)).policies == ["grant"]
    assert judge(policies, call(arguments=LARGE, grants=GRANTED)).decision == Decision.NEEDS_APPROVAL


def test_a_gate_that_no_role_opens_is_a_wall(load: Load) -> None:
    policies = load(
        ALL
        + '@id("wall") @gate("human") @role("boss") forbid (principal, action == Action::"pay", resource);'
    )
    refused = judge(policies, call())
    assert (refused.decision, refused.policies) == (Decision.DENY, ["wall"])


def test_a_lower_layer_can_only_narrow(load: Load) -> None:
    team = '@id("team") permit (principal, action, resource);'
    reads = load('@id("reads") permit (principal, action in Action::"read", resource);', team=team)
    assert judge(reads, call()).decision == Decision.DENY, "what the team permits is not permitted above"
    night = '@id("night") forbid (principal, action in Action::"write", resource) when { context.hour < 6 };'
    policies = load(ALL, team=night)
    assert judge(policies, call(hour=12)).decision == Decision.ALLOW
    assert judge(policies, call(hour=3)).policies == ["night"]


def test_a_layer_of_an_agent_holds_for_that_agent(load: Load) -> None:
    policies = load(ALL, agent_desk='@id("desk") forbid (principal, action == Action::"pay", resource);')
    assert judge(policies, call(agent="desk")).decision == Decision.DENY
    assert judge(policies, call(agent="clerk")).decision == Decision.ALLOW


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"payee": "Ada"}, "`args.cents` is missing"),
        ({"payee": "Ada", "cents": None}, "`args.cents` is missing"),
        ({"payee": "Ada", "cents": "100"}, "`args.cents` is no whole number of 64 bits"),
        ({"payee": "Ada", "cents": 1 << 63}, "`args.cents` is no whole number of 64 bits"),
        ({"payee": "Ada", "cents": 1, "to": "Eve"}, "`args.to` is not among what the tool takes"),
    ],
)
def test_s7_what_a_policy_cannot_be_asked_about_is_denied(
    load: Load, arguments: dict[str, object], why: str
) -> None:
    refused = judge(load(ALL + LIMIT), call(arguments=arguments))
    assert refused.decision == Decision.DENY
    assert why in refused.why


def test_s7_a_policy_that_fails_is_a_no_although_cedar_would_leave_it_out(load: Load) -> None:
    overflows = '@id("sum") forbid (principal, action == Action::"pay", resource) when { context.args.cents + 1 > 5 };'
    refused = judge(load(ALL + overflows), call(arguments={"payee": "Ada", "cents": (1 << 63) - 1}))
    assert refused.decision == Decision.DENY
    assert "overflow" in refused.errors[0]


def test_s2_a_tool_that_no_policy_knows(load: Load) -> None:
    assert judge(load(ALL), call("launch", arguments={})).why == "no policy knows a tool `launch`"


def test_a_verdict_that_no_call_can_change_is_asked_for_once(load: Load) -> None:
    policies = load(
        ALL + LIMIT + '@id("clerk") forbid (principal == Agent::"clerk", action, resource);',
    )
    assert policies.bench("desk", "look").constant
    assert not policies.bench("desk", "pay").constant
    assert judge(policies, call("look")) is judge(policies, call("look", arguments={"q": "other"}))
    assert judge(policies, call("look", agent="clerk")).policies == ["clerk"]
    assert judge(policies, call("look")).decision == Decision.ALLOW
