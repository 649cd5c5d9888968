"""What a verdict costs: 100 policies with a schema, arguments traced to their sources; beside Cedar's own call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pydantic_core

from perdure.governance.policy import (
    Policies,
    PolicyCall,
    PolicyFile,
    PolicySchema,
    Source,
    ToolForm,
    judge,
    traced,
    untrusted,
    unvouched,
)
from perdure.governance.policy.capabilities import capabilities

from .workload import Measured

__all__ = ["cedar", "verdicts"]

PAY = {
    "type": "object",
    "properties": {"iban": {"type": "string"}, "cents": {"type": "integer"}, "note": {"type": "string"}},
    "required": ["iban", "cents"],
}
ARGUMENTS = {"iban": "DE89370400440532013000", "cents": 120_000, "note": "invoice 4711"}
TEXT = "Harrow & Pike writes that invoice 4711 over 1,200.00 is due; the account is in the register. " * 20


def _policies(*, policies: int, tools: int) -> Policies:
    """A permit, and as many prohibitions: a quarter for the tool that is called, the others for other tools."""
    forms = [ToolForm("pay", "write", PAY), *(ToolForm(f"tool{i}", "read", PAY) for i in range(tools - 1))]
    text = ['@id("all") permit (principal, action, resource);']
    for i in range(policies - 1):
        action = 'Action::"pay"' if i % 4 == 0 else f'Action::"tool{i % (tools - 1)}"'
        text.append(
            f'@id("p{i}") @gate("human") @role("finance") forbid (principal, action == {action}, resource) '
            f'when {{ context.args.cents > {1_000_000 + i} || context.untrusted.contains("iban") }} '
            'unless { context.approvals.contains("finance") };'
        )
    files = [PolicyFile("organisation", "bench.cedar", "\n".join(text))]
    return Policies(files, PolicySchema(["desk"], forms), where="bench")


def _sources() -> list[Source]:
    told = [Source("input", pydantic_core.to_json("Pay invoice 4711, 120000 cents"), frozenset({"trusted"}))]
    register = {"name": "Harrow & Pike", "iban": ARGUMENTS["iban"]}
    told.append(Source("register", pydantic_core.to_json(register), frozenset({"trusted"})))
    mails = [
        Source(f"mail{i}", pydantic_core.to_json(f"{TEXT}{i}"), frozenset({"untrusted"})) for i in range(18)
    ]
    return told + mails


def _median(work: Callable[[], object], *, seconds: float) -> float:
    """Microseconds a call, the median."""
    work()
    found: list[float] = []
    until = time.perf_counter() + seconds
    while not found or time.perf_counter() < until:
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1e6)
    return statistics.median(found)


def _call() -> PolicyCall:
    return PolicyCall(agent="desk", tool="pay", arguments=ARGUMENTS, tenant="acme", hour=12)


def cedar(*, seconds: float) -> Measured:
    """The library's own call: all policies parsed, the entities and the schema, too."""
    import cedarpy

    policies = _policies(policies=100, tools=30)
    text = "\n".join(policy.statement.text for policy in policies.all()["organisation"])
    parsed = cedarpy.PolicySet.from_str(text)
    context: dict[str, Any] = {**_call().context(ARGUMENTS), "approvals": []}
    request = {
        "principal": {"type": "Agent", "id": "desk"},
        "action": {"type": "Action", "id": "pay"},
        "resource": {"type": "Tool", "id": "pay"},
        "context": context,
    }

    def ask() -> None:
        answer = cedarpy.is_authorized(request, parsed, policies.entities, policies.compiled_schema)
        assert answer.allowed

    return {"verdict": (_median(ask, seconds=seconds), "us")}


def verdicts(*, seconds: float) -> Measured:
    """With where each argument comes from, out of 20 sources, and what the journal is told."""
    policies, sources = _policies(policies=100, tools=30), _sources()

    def ask() -> None:
        origins = traced(ARGUMENTS, sources)
        call = PolicyCall(
            agent="desk",
            tool="pay",
            arguments=ARGUMENTS,
            tenant="acme",
            untrusted=untrusted(origins),
            unvouched=unvouched(origins),
            hour=12,
        )
        verdict = judge(policies, call)
        assert verdict.decision == "allow", verdict
        pydantic_core.to_json({**verdict.to_json(), "call": call.to_json()})

    def all_tools() -> None:
        policies.capabilities.clear()
        policies.constants.clear()
        capabilities(policies, "desk")

    asked = _median(ask, seconds=seconds / 2)
    capabilities(policies, "desk")
    fresh = _median(all_tools, seconds=seconds / 4)
    kept = _median(lambda: capabilities(policies, "desk"), seconds=seconds / 4)
    return {
        "verdict": (asked, "us"),
        "what 30 tools may": (fresh, "us"),
        "asked again": (kept, "us"),
    }
