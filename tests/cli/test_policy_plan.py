"""`perdure policy plan`: a plan, or a run, before the policies, with what decides each step."""

from __future__ import annotations

import pytest

from .conftest import Cli
from .test_policy import Project

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

POLICIES = """
@id("all") permit (principal, action, resource);
@id("limit") @gate("human") @role("finance") @reason("more than 50 is approved")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 5000 }
unless { context.approvals.contains("finance") };
"""
PLAN = """
agent: desk
steps:
  - { tool: pay, arguments: { to: Ada, cents: 100 } }
  - { tool: pay, arguments: { to: Ada, cents: 9000 } }
"""


@pytest.fixture
def project(cli: Cli) -> Project:
    made = Project(cli)
    made.write(POLICIES)
    return made


def test_a_plan_is_judged_step_by_step(project: Project) -> None:
    (project.cli.folder / "plan.yaml").write_text(PLAN)
    path = str(project.cli.folder / "plan.yaml")
    answer = project("policy", "plan", path)
    assert answer.code == 1
    told = answer.json
    assert told["ok"] is False
    assert [(s["step"], s["decision"], s["policies"]) for s in told["steps"]] == [
        ("1", "allow", ["all"]),
        ("2", "needs_approval", ["limit"]),
    ]
    shown = project("policy", "plan", path, as_json=False).stdout
    assert '2  pay {"to": "Ada", "cents": 9000}: needs approval' in shown
    assert "more than 50 is approved" in shown and "asks 1 of `finance`" in shown and "by limit" in shown


def test_a_plan_that_passes_is_fine(project: Project) -> None:
    path = project.cli.folder / "plan.json"
    path.write_text('{"agent": "desk", "steps": [{"tool": "pay", "arguments": {"to": "Ada", "cents": 100}}]}')
    assert project("policy", "plan", str(path)).code == 0
    strict = project.write('@id("all") permit (principal, action in Action::"read", resource);', "strict")
    assert project("policy", "plan", str(path), "--policies", str(strict)).code == 1


def test_a_run_is_judged_anew(project: Project) -> None:
    assert project("run", "desk", "--input", "100", "--id", "r1").code == 0
    assert project("policy", "plan", "r1").code == 0
    strict = project.write('@id("none") permit (principal, action in Action::"read", resource);', "strict")
    answer = project("policy", "plan", "r1", "--policies", str(strict))
    assert answer.code == 1
    (step,) = answer.json["steps"]
    assert (step["step"], step["tool"], step["decision"], step["before"]) == ("pay", "pay", "deny", "allow")


def test_what_is_neither_is_named(project: Project) -> None:
    answer = project("policy", "plan", "nowhere.yaml")
    assert answer.code == 2 and "`nowhere.yaml` cannot be read" in answer.stdout
    assert project("run", "desk", "--input", "100", "--id", "r1").code == 0
    answer = project("policy", "plan", "r9")
    assert answer.code != 0 and "r9" in answer.stdout
