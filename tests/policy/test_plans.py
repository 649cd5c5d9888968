"""A whole plan before the policies: each step as if those before had been done, for a file and for a run that was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import App, ConfigError, Run
from perdure.governance.policy.book import PolicyBook
from perdure.governance.policy.plans import Judged, judged, read_plan, recorded_steps
from perdure.governance.policy.policies import PolicyFile
from perdure.governance.policy.schema import ToolForm
from tests.runtime.conversations import Answers, asks, says

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
POLICIES = """
@id("all") permit (principal, action, resource);
@id("passport") @reason("a passport was read")
forbid (principal, action == Action::"send", resource) when { context.seen.contains("identity-document") };
@id("once") @reason("one payment for each run")
forbid (principal, action == Action::"pay", resource) when { context.called.contains("pay") };
@id("payee") @gate("human") @role("finance") @reason("nobody vouches for the account")
forbid (principal, action == Action::"pay", resource)
when { context.unvouched.contains("to") } unless { context.approvals.contains("finance") };
@id("sure") @gate("evidence") @reason("not sure enough")
forbid (principal, action == Action::"delete", resource) when { context.confidence.lessThan(decimal("0.8")) };
@id("office") @reason("not at night")
forbid (principal, action == Action::"send", resource) when { context.hour < 7 };
"""
TEXT = {"type": "string"}


def form(tool: str, effect: str, *labels: str, **properties: Any) -> ToolForm:
    schema = {"properties": properties, "required": list(properties)}
    return ToolForm(tool, effect, schema, frozenset(labels))


def book(text: str = POLICIES) -> PolicyBook:
    tools = [
        form("read_mail", "read", "untrusted", n={"type": "integer"}),
        form("find_supplier", "read", "trusted", name=TEXT),
        form("read_passport", "read", "identity-document", name=TEXT),
        form("send", "write", to=TEXT),
        form("pay", "write", to=TEXT),
        form("delete", "write", what=TEXT),
    ]
    return PolicyBook(
        [PolicyFile("organisation", "base.cedar", text)], agents=["desk"], tools=tools, where="here"
    )


def said(where: Path, plan: str, *, hour: int = 12) -> list[tuple[str, str]]:
    (where / "plan.yaml").write_text(plan)
    found = judged(book(), read_plan(where / "plan.yaml"), at=NOW.replace(hour=hour))
    return [words(each) for each in found]


def words(each: Judged) -> tuple[str, str]:
    assert each.verdict is not None
    return str(each.verdict.decision), ",".join(each.verdict.policies)


def test_earlier_steps_count_as_done(tmp_path: Path) -> None:
    plan = """
agent: desk
steps:
  - { tool: send, arguments: { to: ann }, origins: { to: input } }
  - { tool: read_passport, arguments: { name: ann } }
  - { tool: send, arguments: { to: bob }, origins: { to: input } }
  - { tool: pay, arguments: { to: bob }, origins: { to: input } }
  - { tool: pay, arguments: { to: bob }, origins: { to: input } }
"""
    assert said(tmp_path, plan) == [
        ("allow", "all"),
        ("allow", "all"),
        ("deny", "passport"),
        ("allow", "all"),
        ("deny", "once"),
    ]


@pytest.mark.parametrize(
    ("origin", "decision"),
    [
        ("input", "allow"),
        ("trusted", "allow"),
        ("2", "allow"),
        ("1", "needs_approval"),
        ("untrusted", "needs_approval"),
        ("model", "needs_approval"),
        (None, "needs_approval"),
    ],
)
def test_where_an_argument_comes_from_counts(tmp_path: Path, origin: str | None, decision: str) -> None:
    origins = "" if origin is None else f", origins: {{ to: {origin} }}"
    plan = f"""
agent: desk
steps:
  - {{ tool: read_mail, arguments: {{ n: 1 }} }}
  - {{ tool: find_supplier, arguments: {{ name: ann }} }}
  - {{ tool: pay, arguments: {{ to: ann }}{origins} }}
"""
    assert said(tmp_path, plan)[2][0] == decision


def test_what_is_denied_is_not_done_and_what_is_asked_for_is(tmp_path: Path) -> None:
    plan = """
agent: desk
steps:
  - { tool: pay, arguments: { two: ann } }
  - { tool: pay, arguments: { to: ann } }
  - { tool: pay, arguments: { to: ann }, origins: { to: input } }
"""
    assert [decision for decision, _ in said(tmp_path, plan)] == ["deny", "needs_approval", "deny"]


def test_how_sure_the_plan_is_counts_and_what_is_not_said_counts_as_nothing(tmp_path: Path) -> None:
    plan = """
agent: desk
steps:
  - { tool: delete, arguments: { what: x }, confidence: 0.9, unknowns: [] }
  - { tool: delete, arguments: { what: x }, confidence: 0.9 }
  - { tool: delete, arguments: { what: x } }
  - { tool: nothing, arguments: {} }
"""
    assert said(tmp_path, plan) == [("allow", "all"), ("deny", "sure"), ("deny", "sure"), ("deny", "")]


def test_it_is_judged_for_now_or_for_when_it_says(tmp_path: Path) -> None:
    plan = "{ agent: desk, steps: [{ tool: send, arguments: { to: ann } }]"
    assert said(tmp_path, plan + "}", hour=3) == [("deny", "office")]
    assert said(tmp_path, plan + ", hour: 9 }", hour=3) == [("allow", "all")]


@pytest.mark.parametrize(
    ("plan", "wrong"),
    [
        ("agent: desk", "`steps`"),
        ("{ agent: desk, steps: [] }", "`steps`"),
        ("{ agent: desk, steps: [{ tool: send, argument: {} }] }", "steps.0.argument"),
        ("{ agent: desk, steps: [{ tool: send, origins: { to: nowhere } }] }", "comes from `nowhere`"),
        ("{ agent: desk, steps: [{ tool: send, origins: { to: 1 } }] }", "step `1`, which is no earlier one"),
        ("[", "cannot be read"),
    ],
)
def test_a_plan_that_is_none_is_refused(tmp_path: Path, plan: str, wrong: str) -> None:
    (tmp_path / "plan.yaml").write_text(plan)
    with pytest.raises(ConfigError, match=wrong.replace("[", r"\[")):
        read_plan(tmp_path / "plan.yaml")


async def test_the_calls_of_a_run_are_judged_by_the_policies_of_today(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "base.cedar").write_text('@id("all") permit (principal, action, resource);')
    app = App("memory://", policies=folder)
    calls = asks(("read_passport", {"name": "ann"})), asks(("send", {"to": "bob"}), ("delete", {"what": "x"}))
    app.models.register("fake", Answers(*calls, says("done")))

    @app.tool(effect="read", labels=["identity-document"])
    def read_passport(name: str) -> str:
        return "C01X00T47"

    @app.tool(effect="write")
    def send(to: str) -> str:
        return to

    @app.tool(effect="write")
    def delete(what: str) -> str:
        return what

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[read_passport, send, delete])

    async with app:
        run = await app.start("desk")
        await run.result()
        entries = await run.entries()
    found = list(recorded_steps(book(), entries, agent="desk", tenant="default"))
    told = {each.tool: (words(each)[0], each.before, each.arguments) for each in found if each.verdict}
    assert told == {
        "read_passport": ("allow", None, None),
        "send": ("deny", "allow", {"to": "bob"}),
        "delete": ("allow", "allow", {"what": "x"}),
    }


async def test_a_run_without_policies_is_judged_by_what_it_did() -> None:
    app = App("memory://")

    @app.tool(effect="write")
    def pay(to: str) -> str:
        return to

    @app.agent("desk")
    async def desk(run: Run) -> str:
        await run.call(pay, "ann")
        return await run.call(pay, "bob")

    async with app:
        run = await app.start("desk")
        await run.result()
        found = list(recorded_steps(book(), await run.entries(), agent="desk", tenant="default"))
    assert [(each.arguments, words(each), each.before) for each in found] == [
        ({"to": "ann"}, ("allow", "all"), None),
        ({"to": "bob"}, ("deny", "once"), None),
    ]
